/** Turns dark into bright and bright into dark, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-invert',
  targets: ['stable_pretraining.data.transforms.RandomInvert', 'torchvision.transforms.v2.RandomInvert'],
  description: 'A negative by chance.',
  config: z.object({ p: z.number().min(0).max(1).default(0.5).describe('how probable it is') }),
  build: ({ config }) => ({ steps: [{ type: 'random-invert', p: config.p }] }),
})
