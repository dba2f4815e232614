/** The images as they lie, in every epoch. */
import { SequentialSampler, defineSampler, z } from 'stable-pretraining'

export default defineSampler({
  name: 'sequential',
  aliases: ['SequentialSampler'],
  targets: ['torch.utils.data.SequentialSampler', 'torch.utils.data.sampler.SequentialSampler'],
  description: 'The same order in every epoch.',
  config: z.object({}),
  build: ({ dataset }) => new SequentialSampler(dataset.length),
})
