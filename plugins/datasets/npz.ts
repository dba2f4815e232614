/** Images and labels in one of NumPy's .npz files. */
import { resolve } from 'node:path'
import { defineDataset, readNpzDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'npz',
  description: "Images and labels in one of NumPy's .npz files, in memory or, where they are many, from the disk.",
  config: z.object({
    path: z.string().describe('the file'),
    images: z.string().default('images').describe('array of images, uint8 [count, height, width(, channels)]'),
    labels: z.string().nullable().default('labels').describe('array of class numbers, [count]; null: none'),
    memoryBytes: z
      .int()
      .min(0)
      .optional()
      .describe('images of more bytes stay on the disk, if stored as numpy.savez does; default 1 GiB'),
    classes: z.array(z.string()).optional().describe('names of the classes, from class 0'),
  }),
  build: ({ config, root }) => readNpzDataset({ ...config, path: resolve(root, config.path) }),
})
