/** A pair of IDX files, the format of MNIST and its relatives. */
import { resolve } from 'node:path'
import { defineDataset, readIdxDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'idx',
  description: 'Images and labels in IDX files, as MNIST has them; packed by gzip or not.',
  config: z.object({
    images: z.string().describe('file of images, uint8 [count, height, width]'),
    labels: z.string().optional().describe('file of class numbers, [count]'),
    classes: z.array(z.string()).optional().describe('names of the classes, from class 0'),
  }),
  build: ({ config, root }) =>
    readIdxDataset({
      images: resolve(root, config.images),
      ...(config.labels === undefined ? {} : { labels: resolve(root, config.labels) }),
      ...(config.classes === undefined ? {} : { classes: config.classes }),
    }),
})
