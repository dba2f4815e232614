/** Every image once in a random order, another one each epoch. */
import { RandomSampler, defineSampler, z } from 'stable-pretraining'

export default defineSampler({
  name: 'random',
  aliases: ['RandomSampler'],
  targets: ['torch.utils.data.RandomSampler', 'torch.utils.data.sampler.RandomSampler'],
  description: 'A random order of all images, whatever order the data set reads fast.',
  config: z.object({ seed: z.int().min(0).optional().describe('of the order; default: the seed of the run') }),
  build: ({ config, dataset, seed }) => new RandomSampler(dataset.length, config.seed ?? seed),
})
