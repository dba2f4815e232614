/** Image files in one folder a class, as torchvision's ImageFolder. */
import { resolve } from 'node:path'
import { ImageFolderDataset, defineDataset, z } from 'stable-pretraining'

export default defineDataset({
  name: 'image-folder',
  targets: ['torchvision.datasets.ImageFolder'],
  description: 'JPEG, PNG, WebP, GIF and BMP files in one folder a class.',
  config: z.object({
    root: z.string().describe('folder of the class folders'),
  }),
  build: ({ config, root }) => ImageFolderDataset.open(resolve(root, config.root)),
})
