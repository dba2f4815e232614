/** Spreads the levels of each channel so that each takes as many pixels, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-equalize',
  targets: ['stable_pretraining.data.transforms.RandomEqualize', 'torchvision.transforms.v2.RandomEqualize'],
  description: 'An even histogram by chance.',
  config: z.object({ p: z.number().min(0).max(1).default(0.5).describe('how probable it is') }),
  build: ({ config }) => ({ steps: [{ type: 'random-equalize', p: config.p }] }),
})
