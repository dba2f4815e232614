/** A random order in which each image stands several times in a row: its views meet in one batch. */
import { RepeatedRandomSampler, defineSampler, z } from 'stable-pretraining'

export default defineSampler({
  name: 'repeated-random',
  aliases: ['RepeatedRandomSampler'],
  targets: ['stable_pretraining.data.sampler.RepeatedRandomSampler', 'stable_pretraining.data.RepeatedRandomSampler'],
  description: 'A random order, each image several times in a row.',
  config: z.object({
    nViews: z.int().min(1).default(1).describe('how often each image stands in a row'),
    replacement: z.literal(false).default(false).describe('drawing with replacement, which is not offered'),
    seed: z.int().min(0).optional().describe('of the order; default: the seed of the run'),
    passViewIdx: z.boolean().default(false).describe('samples get the number of their view, as viewIdx'),
  }),
  build({ config: { replacement: _, seed, ...options }, dataset, seed: ofRun }) {
    return new RepeatedRandomSampler(dataset, { ...options, seed: seed ?? ofRun })
  },
})
