/** A few random operations of one strength for each image of a batch; stands under batch_transform. */
import { RandAugment, defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'rand-augment',
  aliases: ['RandAugment'],
  targets: ['stable_pretraining.data.gpu_transforms.GPURandAugment'],
  description: 'A few random operations for each image of a batch.',
  paper: 'Cubuk et al. 2020, arXiv:1909.13719',
  config: z.object({
    n: z.int().min(1).max(15).default(2).describe('operations an image, out of fifteen'),
    m: z.number().gt(0).lt(30).default(10).describe('their strength, of 30'),
  }),
  build: ({ config }) => new RandAugment(config),
})
