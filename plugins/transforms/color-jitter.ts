/** Changes brightness, contrast, saturation and hue of an image by random amounts, in random order. */
import { defineImageTransform, z } from 'stable-pretraining'

const factor = (what: string) =>
  z
    .union([z.number().min(0), z.tuple([z.number().min(0), z.number().min(0)])])
    .nullable()
    .default(null)
    .describe(`${what} is multiplied by a factor in 1 - x .. 1 + x (from 0), or in [low, high]`)

export default defineImageTransform({
  name: 'color-jitter',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPUColorJitter',
    'stable_pretraining.data.transforms.ColorJitter',
    'torchvision.transforms.v2.ColorJitter',
    'torchvision.transforms.ColorJitter',
  ],
  description: 'Brightness, contrast, saturation and hue changed at random.',
  config: z.object({
    brightness: factor('brightness'),
    contrast: factor('contrast'),
    saturation: factor('saturation'),
    hue: z
      .union([z.number().min(0).max(0.5), z.tuple([z.number().min(-0.5), z.number().max(0.5)])])
      .nullable()
      .default(null)
      .describe('the hue is turned by an amount in -x .. x, or in [low, high]; 1 is a whole turn, at most 0.5'),
    p: z.number().min(0).max(1).default(1).describe('how probable it is'),
  }),
  build({ config }) {
    const { hue, p } = config
    const range = typeof hue === 'number' ? ([-hue, hue] as const) : hue
    const brightness = around(config.brightness)
    const contrast = around(config.contrast)
    const saturation = around(config.saturation)
    return { steps: [{ type: 'color-jitter', brightness, contrast, saturation, hue: unlessFixed(range, 0), p }] }
  },
})

type Range = readonly [low: number, high: number]

function around(amount: number | Range | null): Range | null {
  return unlessFixed(typeof amount === 'number' ? [Math.max(0, 1 - amount), 1 + amount] : amount, 1)
}

/** Null where the range holds nothing but the value that changes nothing. */
function unlessFixed(range: Range | null, neutral: number): Range | null {
  return range !== null && range[0] === neutral && range[1] === neutral ? null : range
}
