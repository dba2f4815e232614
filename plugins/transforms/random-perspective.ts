/** Shows an image at a random slant, by chance. */
import { defineImageTransform, interpolationOf, z } from 'stable-pretraining'

const fill = z
  .union([z.number(), z.array(z.number()).length(3)])
  .nullable()
  .default(0)
  .describe('what lies outside: a value or a value a channel; null blends the edge towards zeros')
const interpolation = z.union([z.enum(['nearest', 'bilinear']), z.literal([0, 2])])

export default defineImageTransform({
  name: 'random-perspective',
  targets: ['stable_pretraining.data.transforms.RandomPerspective', 'torchvision.transforms.v2.RandomPerspective'],
  description: 'At a random slant by chance.',
  config: z.object({
    distortionScale: z
      .number()
      .min(0)
      .max(1)
      .default(0.5)
      .describe('corners move inwards by at most this part of half a side'),
    p: z.number().min(0).max(1).default(0.5).describe('how probable it is'),
    interpolation: interpolation.default('bilinear').describe('nearest (0) or bilinear (2)'),
    fill,
  }),
  build({ config }) {
    const method = interpolationOf(config.interpolation) as 'nearest' | 'bilinear'
    const values = config.fill === null ? null : [config.fill].flat()
    return { steps: [{ ...config, type: 'random-perspective', interpolation: method, fill: values }] }
  },
})
