/** Images embedded in Parquet files. */
import { resolve } from 'node:path'
import { ParquetDataset, defineDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'parquet',
  description: 'Images embedded in Parquet files (bytes, or {bytes, path}), read by pages as they are needed.',
  config: z.object({
    files: z
      .union([z.string().transform((file) => [file]), z.array(z.string()).min(1)])
      .describe(
        'files of equal columns, in this order: a path, a folder, a pattern such as train-*.parquet, or a list of them',
      ),
    image: z.string().optional().describe('column of images; default: the one that is noted as such or holds bytes'),
    label: z
      .string()
      .nullable()
      .optional()
      .describe('column of class numbers; default: as noted, else label; null: none'),
    keep: z
      .array(z.string())
      .optional()
      .describe('further columns that batches hold: numbers, texts, lists, structures'),
    classes: z.array(z.string()).optional().describe('names of the classes, from class 0; default: as noted'),
    cacheBytes: z.int().min(1).optional().describe('memory for unpacked pages; default 256 MiB'),
  }),
  build: ({ config, root }) =>
    ParquetDataset.open({ ...config, files: config.files.map((file) => resolve(root, file)) }),
})
