/** Makes an image smaller or larger; with antialiasing, as PIL and torchvision do it. */
import { defineImageTransform, interpolationOf, z } from 'stable-pretraining'

const pixels = z.int().min(1)

export default defineImageTransform({
  name: 'resize',
  targets: [
    'stable_pretraining.data.transforms.Resize',
    'torchvision.transforms.v2.Resize',
    'torchvision.transforms.Resize',
  ],
  description: 'The whole image at another size.',
  config: z.object({
    size: z
      .union([pixels, z.tuple([pixels]), z.tuple([pixels, pixels])])
      .describe('length of the shorter side (the ratio is kept), or [height, width], in pixels'),
    interpolation: z
      .union([z.enum(['nearest', 'nearest-exact', 'bilinear', 'bicubic']), z.literal([0, 2, 3])])
      .default('bilinear')
      .describe('nearest (0), nearest-exact, bilinear (2) or bicubic (3)'),
    maxSize: pixels.nullable().default(null).describe('the longer side is never larger than this, in pixels'),
    antialias: z.boolean().default(true).describe('averages over the pixels that shrink to one'),
  }),
  build({ config }) {
    const size = typeof config.size === 'number' || config.size.length === 2 ? config.size : config.size[0]
    const { antialias, maxSize } = config
    const interpolation = interpolationOf(config.interpolation)
    return { steps: [{ type: 'resize', size, interpolation, antialias, ...(maxSize === null ? {} : { maxSize }) }] }
  },
})
