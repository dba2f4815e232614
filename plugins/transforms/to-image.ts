/** Makes an image floats in 0..1, and normalises it where mean and std are given; what follows works on floats. */
import { defineImageTransform, normalizeSteps, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'to-image',
  targets: [
    'stable_pretraining.data.transforms.ToImage',
    'torchvision.transforms.v2.ToTensor',
    'torchvision.transforms.ToTensor',
  ],
  description: 'Pixels as float32 in 0..1, normalised where mean and std are given.',
  config: z.object({
    dtype: z.literal('float32').default('float32').describe('element type of the batch'),
    scale: z.literal(true).default(true).describe('0..255 becomes 0..1'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as ImageNet'),
    rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
  }),
  build({ config }) {
    const rgb = config.rgb ? [{ type: 'rgb' } as const] : []
    return { steps: [...rgb, { type: 'to-image' }, ...normalizeSteps('to-image', config)] }
  },
})
