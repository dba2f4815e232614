/** Batches of a few images of each of several classes, for losses that compare images of one class. */
import { SupervisedBatchSampler, classNumbers, defineSampler, z } from 'stable-pretraining'

export default defineSampler({
  name: 'supervised-batch',
  aliases: ['SupervisedBatchSampler'],
  targets: ['stable_pretraining.data.sampler.SupervisedBatchSampler', 'stable_pretraining.data.SupervisedBatchSampler'],
  description: 'Batches of several images of each class in them.',
  config: z.object({
    batchSize: z.int().min(1).default(8).describe('images a batch, a multiple of n_views'),
    nViews: z.int().min(1).default(2).describe('images of each class in a batch'),
    seed: z.int().min(0).optional().describe('of what is drawn; default: the seed of the run'),
  }),
  async build({ config: { batchSize, nViews, seed }, dataset, seed: ofRun }) {
    return new SupervisedBatchSampler(batchSize, nViews, await classNumbers(dataset), seed ?? ofRun)
  },
})
