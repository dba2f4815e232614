/** Turns an image upside down as in water, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-vertical-flip',
  targets: [
    'stable_pretraining.data.transforms.RandomVerticalFlip',
    'torchvision.transforms.v2.RandomVerticalFlip',
    'torchvision.transforms.RandomVerticalFlip',
  ],
  description: 'Top and bottom swapped by chance.',
  config: z.object({ p: z.number().min(0).max(1).default(0.5).describe('how probable it is') }),
  build: ({ config }) => ({ steps: [{ type: 'random-vertical-flip', p: config.p }] }),
})
