/** Adds a border to an image. */
import { defineImageTransform, paddingSides, z } from 'stable-pretraining'

const border = z.int().min(0)

export default defineImageTransform({
  name: 'pad',
  targets: ['torchvision.transforms.v2.Pad', 'torchvision.transforms.Pad'],
  description: 'A border around the image.',
  config: z.object({
    padding: z
      .union([border, z.tuple([border, border]), z.tuple([border, border, border, border])])
      .describe('pixels added on all sides, on [left and right, top and bottom], or [left, top, right, bottom]'),
    fill: z.number().default(0).describe('grey level of a constant border, 0..255'),
    paddingMode: z
      .enum(['constant', 'edge', 'reflect', 'symmetric'])
      .default('constant')
      .describe('what the border shows'),
  }),
  build: ({ config }) => ({ steps: [{ ...config, type: 'pad', padding: paddingSides(config.padding) }] }),
})
