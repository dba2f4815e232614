/** Turns an image by a random angle. */
import { defineImageTransform, interpolationOf, z } from 'stable-pretraining'

const degrees = z.union([z.number().min(0), z.tuple([z.number(), z.number()])])
const fill = z
  .union([z.number(), z.array(z.number()).length(3)])
  .nullable()
  .default(0)
  .describe('what lies outside: a value or a value a channel; null blends the edge towards zeros')
const interpolation = z.union([z.enum(['nearest', 'bilinear']), z.literal([0, 2])])

export default defineImageTransform({
  name: 'random-rotation',
  targets: ['stable_pretraining.data.transforms.RandomRotation', 'torchvision.transforms.v2.RandomRotation'],
  description: 'Turned by a random angle.',
  config: z.object({
    degrees: degrees.describe('turned counter-clockwise by an angle in -x .. x, or in [low, high], in degrees'),
    interpolation: interpolation.default('nearest').describe('nearest (0) or bilinear (2)'),
    expand: z.boolean().default(false).describe('the result is large enough to show all of the turned image'),
    center: z
      .tuple([z.number(), z.number()])
      .nullable()
      .default(null)
      .describe('[x, y] in pixels; default: the middle'),
    fill,
  }),
  build({ config }) {
    const range = typeof config.degrees === 'number' ? ([-config.degrees, config.degrees] as const) : config.degrees
    const method = interpolationOf(config.interpolation) as 'nearest' | 'bilinear'
    const values = config.fill === null ? null : [config.fill].flat()
    return {
      steps: [{ ...config, type: 'random-rotation', degrees: range, interpolation: method, fill: values }],
    }
  },
})
