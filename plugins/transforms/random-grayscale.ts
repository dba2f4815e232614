/** Takes the colour out of an image, by chance; it keeps its three channels. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-grayscale',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPURandomGrayscale',
    'stable_pretraining.data.transforms.RandomGrayscale',
    'torchvision.transforms.v2.RandomGrayscale',
    'torchvision.transforms.RandomGrayscale',
  ],
  targetDefaults: { 'stable_pretraining.data.gpu_transforms.GPURandomGrayscale': { p: 0.2 } },
  description: 'Grey by chance (ITU-R 601 luma).',
  config: z.object({ p: z.number().min(0).max(1).default(0.1).describe('how probable it is') }),
  build: ({ config }) => ({ steps: [{ type: 'random-grayscale', p: config.p }] }),
})
