/** Cuts a window of fixed size out of an image at a random place, after padding. */
import { defineImageTransform, sizeOf, z } from 'stable-pretraining'

const pixels = z.int().min(1)
const border = z.int().min(0)

export default defineImageTransform({
  name: 'random-crop',
  targets: [
    'stable_pretraining.data.transforms.RandomCrop',
    'torchvision.transforms.v2.RandomCrop',
    'torchvision.transforms.RandomCrop',
  ],
  description: 'A window at a random place.',
  config: z.object({
    size: z.union([pixels, z.tuple([pixels, pixels])]).describe('side of the square, or [height, width], in pixels'),
    padding: z
      .union([border, z.tuple([border, border]), z.tuple([border, border, border, border])])
      .nullable()
      .default(null)
      .describe('pixels added on all sides, on [left and right, top and bottom], or [left, top, right, bottom]'),
    padIfNeeded: z.boolean().default(false).describe('pads an image that is smaller than the window'),
    fill: z.number().min(0).max(255).default(0).describe('grey level of a constant border, 0..255'),
    paddingMode: z
      .enum(['constant', 'edge', 'reflect', 'symmetric'])
      .default('constant')
      .describe('what the border shows'),
  }),
  build({ config }) {
    const { padIfNeeded, fill, paddingMode } = config
    return {
      steps: [
        {
          type: 'random-crop',
          size: sizeOf(config.size),
          padding: sides(config.padding),
          padIfNeeded,
          fill,
          paddingMode,
        },
      ],
    }
  },
})

function sides(padding: number | readonly number[] | null): [left: number, top: number, right: number, bottom: number] {
  const [left = 0, top = left, right = left, bottom = top] = typeof padding === 'number' ? [padding] : (padding ?? [])
  return [left, top, right, bottom]
}
