/** Cuts out the middle of an image; a side that is smaller is padded with black first, as in torchvision. */
import { defineImageTransform, sizeOf, z } from 'stable-pretraining'

const pixels = z.int().min(1)

export default defineImageTransform({
  name: 'center-crop',
  targets: [
    'stable_pretraining.data.transforms.CenterCrop',
    'torchvision.transforms.v2.CenterCrop',
    'torchvision.transforms.CenterCrop',
  ],
  description: 'The middle of the image.',
  config: z.object({
    size: z.union([pixels, z.tuple([pixels, pixels])]).describe('side of the square, or [height, width], in pixels'),
  }),
  build: ({ config }) => ({ steps: [{ type: 'center-crop', size: sizeOf(config.size) }] }),
})
