/** Mirrors an image left to right, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-horizontal-flip',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPURandomHorizontalFlip',
    'stable_pretraining.data.transforms.RandomHorizontalFlip',
    'torchvision.transforms.v2.RandomHorizontalFlip',
    'torchvision.transforms.RandomHorizontalFlip',
  ],
  description: 'Left and right swapped by chance.',
  config: z.object({ p: z.number().min(0).max(1).default(0.5).describe('how probable it is') }),
  build: ({ config }) => ({ steps: [{ type: 'random-horizontal-flip', p: config.p }] }),
})
