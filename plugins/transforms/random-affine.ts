/** Turns, moves, scales and shears an image by random amounts. */
import { defineImageTransform, interpolationOf, z } from 'stable-pretraining'

const pair = z.tuple([z.number(), z.number()])
const fill = z
  .union([z.number(), z.array(z.number()).length(3)])
  .nullable()
  .default(0)
  .describe('what lies outside: a value or a value a channel; null blends the edge towards zeros')
const interpolation = z.union([z.enum(['nearest', 'bilinear']), z.literal([0, 2])])

export default defineImageTransform({
  name: 'random-affine',
  targets: ['stable_pretraining.data.transforms.RandomAffine', 'torchvision.transforms.v2.RandomAffine'],
  description: 'Turned, moved, scaled and sheared at random.',
  config: z.object({
    degrees: z
      .union([z.number().min(0), pair])
      .describe('turned clockwise by an angle in -x .. x, or in [low, high], in degrees'),
    translate: z
      .tuple([z.number().min(0).max(1), z.number().min(0).max(1)])
      .nullable()
      .default(null)
      .describe('moved by at most this part of the width and of the height'),
    scale: z
      .tuple([z.number().positive(), z.number().positive()])
      .nullable()
      .default(null)
      .describe('range of the factor of its size'),
    shear: z
      .union([z.number().min(0), pair, z.tuple([z.number(), z.number(), z.number(), z.number()])])
      .nullable()
      .default(null)
      .describe('sheared along x by -x .. x or [low, high] degrees; four numbers: along x and along y'),
    interpolation: interpolation.default('nearest').describe('nearest (0) or bilinear (2)'),
    fill,
    center: pair.nullable().default(null).describe('[x, y] in pixels; default: the middle'),
  }),
  build({ config }) {
    const around = (amount: number | readonly [number, number]) =>
      typeof amount === 'number' ? ([-amount, amount] as const) : amount
    const { shear, translate, scale, center } = config
    const sheared = shear === null || (typeof shear === 'object' && shear.length === 4) ? shear : around(shear)
    return {
      steps: [
        {
          type: 'random-affine',
          degrees: around(config.degrees),
          translate,
          scale,
          shear: sheared?.length === 2 ? ([...sheared, 0, 0] as const) : sheared,
          interpolation: interpolationOf(config.interpolation) as 'nearest' | 'bilinear',
          fill: config.fill === null ? null : [config.fill].flat(),
          center,
        },
      ],
    }
  },
})
