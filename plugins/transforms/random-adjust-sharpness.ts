/** Makes an image sharper or softer, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-adjust-sharpness',
  targets: [
    'stable_pretraining.data.transforms.RandomAdjustSharpness',
    'torchvision.transforms.v2.RandomAdjustSharpness',
  ],
  description: 'Sharper or softer by chance.',
  config: z.object({
    sharpnessFactor: z.number().min(0).describe('0 is soft, 1 the image as it is, 2 twice as sharp'),
    p: z.number().min(0).max(1).default(0.5).describe('how probable it is'),
  }),
  build: ({ config }) => ({ steps: [{ type: 'random-adjust-sharpness', ...config }] }),
})
