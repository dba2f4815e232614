/** Keeps the upper bits of each value, by chance: fewer colours. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-posterize',
  targets: ['stable_pretraining.data.transforms.RandomPosterize', 'torchvision.transforms.v2.RandomPosterize'],
  description: 'Fewer levels by chance.',
  config: z.object({
    bits: z.int().min(0).max(8).describe('how many of the eight bits of a value are kept'),
    p: z.number().min(0).max(1).default(0.5).describe('how probable it is'),
  }),
  build: ({ config }) => ({ steps: [{ type: 'random-posterize', bits: config.bits, p: config.p }] }),
})
