/** Adds normal noise of mean 0 to an image; floats, such as follow to-image, are not clipped. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'additive-gaussian',
  targets: ['stable_pretraining.data.transforms.AdditiveGaussian'],
  description: 'Normal noise without clipping.',
  config: z.object({
    sigma: z.number().min(0).describe('standard deviation of the noise, of images in [0, 1]'),
    p: z.number().min(0).max(1).default(1).describe('how probable it is'),
  }),
  build: ({ config }) => ({ steps: [{ type: 'additive-gaussian', ...config }] }),
})
