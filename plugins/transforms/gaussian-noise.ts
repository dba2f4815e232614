/** Adds normal noise to an image, by chance; values stay in their range. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'gaussian-noise',
  targets: ['stable_pretraining.data.transforms.GaussianNoise', 'torchvision.transforms.v2.GaussianNoise'],
  description: 'Normal noise by chance.',
  config: z.object({
    mean: z.number().default(0).describe('mean of the noise, of images in [0, 1]'),
    sigma: z.number().min(0).default(0.1).describe('standard deviation of the noise, of images in [0, 1]'),
    clip: z.boolean().default(true).describe('floats are kept in [0, 1]; bytes always stay in 0..255'),
    p: z.number().min(0).max(1).default(0.5).describe('how probable it is'),
  }),
  build: ({ config }) => ({ steps: [{ type: 'gaussian-noise', ...config }] }),
})
