/** Stretches the levels of each channel to the whole range, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-autocontrast',
  targets: ['stable_pretraining.data.transforms.RandomAutocontrast', 'torchvision.transforms.v2.RandomAutocontrast'],
  description: 'Darkest to black, brightest to white, by chance.',
  config: z.object({ p: z.number().min(0).max(1).default(0.5).describe('how probable it is') }),
  build: ({ config }) => ({ steps: [{ type: 'random-autocontrast', p: config.p }] }),
})
