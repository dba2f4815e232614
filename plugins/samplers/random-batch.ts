/** Every image once in a random order, cut into batches; the last may be smaller. */
import { RandomBatchSampler, defineSampler, z } from 'stable-pretraining'

export default defineSampler({
  name: 'random-batch',
  aliases: ['RandomBatchSampler'],
  targets: ['stable_pretraining.data.sampler.RandomBatchSampler', 'stable_pretraining.data.RandomBatchSampler'],
  description: 'Shuffled batches, a smaller last one among them.',
  config: z.object({
    batchSize: z.int().min(1).default(8).describe('images a batch'),
    seed: z.int().min(0).optional().describe('of the order; default: the seed of the run'),
  }),
  build: ({ config: { batchSize, seed }, dataset, seed: ofRun }) =>
    new RandomBatchSampler(batchSize, dataset, seed ?? ofRun),
})
