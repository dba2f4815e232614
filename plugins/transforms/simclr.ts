/** The augmentation of SimCLR as one name: crop, flip, colour jitter, grey, blur. */
import { blurAt, defineTransform, MultiViewTransform, viewSteps, z, type Step } from 'stable-pretraining'

const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'simclr',
  aliases: ['nnclr'],
  description: 'The views of SimCLR: crop, flip, colour jitter, grey, blur.',
  paper: 'Chen et al. 2020, arXiv:2002.05709, appendix A and B.9',
  config: z.object({
    size: z.int().min(1).describe('side of a view in pixels'),
    copies: z.int().min(1).default(2).describe('views of each image'),
    scale: z
      .tuple([z.number().positive(), z.number().positive()])
      .default([0.08, 1])
      .describe('part of the area a view shows'),
    strength: z
      .number()
      .min(0)
      .max(5)
      .default(0.5)
      .describe('of the colour jitter, s in the paper: brightness, contrast, saturation each 0.8 s, hue 0.2 s'),
    flip: probability.default(0.5).describe('probability of swapping left and right'),
    jitter: probability.default(0.8).describe('probability of the colour jitter'),
    grayscale: probability.default(0.2).describe('probability of taking the colour out'),
    blur: probability
      .optional()
      .describe('probability of a blur over a tenth of the side; by default 0.5 from 64 pixels, none below'),
    rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as CIFAR10'),
  }),
  build({ config }) {
    const { copies, strength: s, jitter: p, blur = blurAt(config.size, 0.5), ...rest } = config
    const jitter = { strength: [0.8 * s, 0.8 * s, 0.8 * s, Math.min(0.5, 0.2 * s)], p } as const
    const steps = viewSteps('simclr', { ...rest, interpolation: 'bilinear', jitter, blur })
    return new MultiViewTransform(Array<{ steps: Step[] }>(copies).fill({ steps }))
  },
})
