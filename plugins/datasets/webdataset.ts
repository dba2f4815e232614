/** WebDataset shards: tar archives of images and their labels. */
import { resolve } from 'node:path'
import { WebDataset, defineDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'webdataset',
  description: 'WebDataset shards: tar archives in which the files of a sample share a name, read as they lie.',
  config: z.object({
    shards: z
      .union([z.string().transform((shard) => [shard]), z.array(z.string()).min(1)])
      .describe(
        'tar files, also packed by gzip: a folder, a pattern such as train-{000..012}.tar or train-*.tar, or a list of them',
      ),
    image: z.array(z.string()).optional().describe('endings of images; default: jpg, jpeg, png, webp, gif, bmp'),
    label: z.string().nullable().optional().describe('ending of the label, or json.<field>; default: cls; null: none'),
    keep: z.array(z.string()).optional().describe('further endings that batches hold: txt, json'),
    cacheBytes: z.int().min(0).optional().describe('memory for unpacked shards, where packed by gzip; default 1 GiB'),
    classes: z.array(z.string()).optional().describe('names of the classes, from class 0'),
    shuffleBuffer: z.int().min(1).default(10_000).describe('samples that a random order mixes; one shard at least'),
  }),
  build: ({ config, root }) =>
    WebDataset.open({ ...config, shards: config.shards.map((shard) => resolve(root, shard)) }),
})
