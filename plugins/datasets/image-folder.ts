/** Image files in one folder a class, as torchvision's ImageFolder, or in a folder without classes. */
import { resolve } from 'node:path'
import { ImageFolderDataset, defineDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'image-folder',
  targets: ['torchvision.datasets.ImageFolder'],
  description: 'JPEG, PNG, WebP, GIF and BMP files in one folder a class, or without classes in any.',
  config: z.object({
    root: z.string().describe('folder of the class folders, or of images'),
    labels: z
      .boolean()
      .optional()
      .describe('whether sub-folders are classes; false: images at any depth, no labels; default: where there are any'),
  }),
  build: ({ config, root }) => ImageFolderDataset.open(resolve(root, config.root), { labels: config.labels }),
})
