/** Inverts the bright pixels of an image, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-solarize',
  targets: [
    'stable_pretraining.data.transforms.RandomSolarize',
    'torchvision.transforms.v2.RandomSolarize',
    'torchvision.transforms.RandomSolarize',
  ],
  description: 'Bright pixels inverted by chance.',
  config: z.object({
    threshold: z
      .number()
      .min(0)
      .max(255)
      .default(128)
      .describe(
        'pixels from this grey level up are inverted, 0..255; of floats, such as a batch_transform meets, also 0..1',
      ),
    p: z.number().min(0).max(1).default(0.5).describe('how probable it is'),
  }),
  build: ({ config }) => ({ steps: [{ type: 'random-solarize', threshold: config.threshold, p: config.p }] }),
})
