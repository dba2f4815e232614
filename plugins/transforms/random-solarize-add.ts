/** Something is added to an image of a batch, then its bright pixels are inverted, by chance; stands under batch_transform. */
import { RandomSolarizeAdd, defineTransform, z } from 'stable-pretraining'

const pair = z.tuple([z.number(), z.number()])

export default defineTransform({
  name: 'random-solarize-add',
  targets: ['stable_pretraining.data.gpu_transforms.GPURandomSolarize', 'kornia.augmentation.RandomSolarize'],
  description: 'Bright pixels of a batch inverted after an addition, by chance.',
  config: z.object({
    thresholds: z
      .union([z.number().min(0).max(0.5), pair])
      .default(0.1)
      .describe('pixels from this value up are inverted: a range in [0, 1], or half its width around 0.5'),
    additions: z
      .union([z.number().min(0).max(0.5), pair])
      .default(0.1)
      .describe('what is added before: a range in [-0.5, 0.5], or half its width around 0'),
    p: z.number().min(0).max(1).default(0.2).describe('how probable it is'),
  }),
  build: ({ config }) => new RandomSolarizeAdd(config),
})
