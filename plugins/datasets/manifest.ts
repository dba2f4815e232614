/** Image files that a CSV, TSV or JSON lines file lists, with their labels. */
import { resolve } from 'node:path'
import { ManifestDataset, defineDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'manifest',
  aliases: ['csv', 'jsonl'],
  description: 'Image files that a CSV, TSV or JSON lines file lists, with their labels.',
  config: z.object({
    path: z.string().describe('the list; relative paths of images start at its folder'),
    format: z.enum(['csv', 'tsv', 'jsonl']).optional().describe('default: by the ending of path'),
    image: z.string().optional().describe('column of paths; default: file_name, path, image, file or filename'),
    label: z.string().nullable().optional().describe('column of labels; default: label where there is one; null: none'),
    columns: z.array(z.string()).optional().describe('names of the columns, where the first line is not a header'),
    keep: z.array(z.string()).optional().describe('further columns that batches hold'),
    root: z.string().optional().describe('where relative paths of images start; default: the folder of the list'),
    classes: z.array(z.string()).optional().describe('names of the classes, from class 0; default: those that occur'),
  }),
  build: ({ config, root }) =>
    ManifestDataset.open({
      ...config,
      path: resolve(root, config.path),
      root: config.root === undefined ? undefined : resolve(root, config.root),
    }),
})
