/** Blurs an image as Pillow does (three box blurs), by a random deviation. */
import { defineImageTransform, z } from 'stable-pretraining'

const deviation = z.number().min(0)

export default defineImageTransform({
  name: 'pil-gaussian-blur',
  aliases: ['PILGaussianBlur'],
  targets: ['stable_pretraining.data.transforms.PILGaussianBlur'],
  description: 'Pillow’s Gaussian blur of random width.',
  config: z.object({
    sigma: z
      .union([deviation, z.tuple([deviation, deviation])])
      .default([0.1, 2])
      .describe('deviation in pixels, or its range, drawn evenly'),
    p: z.number().min(0).max(1).default(1).describe('how probable it is'),
  }),
  build({ config: { sigma, p } }) {
    return { steps: [{ type: 'pil-gaussian-blur', sigma: typeof sigma === 'number' ? [sigma, sigma] : sigma, p }] }
  },
})
