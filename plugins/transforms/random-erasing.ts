/** Blots out a rectangle of an image, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

const pair = z.tuple([z.number().positive(), z.number().positive()])

export default defineImageTransform({
  name: 'random-erasing',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPURandomErasing',
    'stable_pretraining.data.transforms.RandomErasing',
    'torchvision.transforms.v2.RandomErasing',
  ],
  description: 'A rectangle blotted out by chance.',
  paper: 'Zhong et al. 2017, arXiv:1708.04896',
  config: z.object({
    p: z.number().min(0).max(1).default(0.5).describe('how probable it is'),
    scale: pair.default([0.02, 0.33]).describe('range of the part of the area, drawn evenly'),
    ratio: pair.default([0.3, 3.3]).describe('range of height over width, its logarithm drawn evenly'),
    value: z
      .union([z.number(), z.array(z.number()).length(3), z.literal('random')])
      .default(0)
      .describe('what the rectangle shows: a value, a value a channel, or random: normal numbers, for floats'),
    inplace: z.boolean().default(false).describe('accepted, without effect: nobody else holds the image'),
  }),
  build({ config: { p, scale, ratio, value } }) {
    const values = value === 'random' ? null : [value].flat()
    return { steps: [{ type: 'random-erasing', scale, ratio, value: values, p }] }
  },
})
