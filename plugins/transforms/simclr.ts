/** The augmentation of SimCLR as one name: crop, flip, colour jitter, grey, blur. */
import { blurAt, defineTransform, MultiViewTransform, viewOptions, viewSteps, z, type Step } from 'stable-pretraining'

export default defineTransform({
  name: 'simclr',
  aliases: ['nnclr'],
  description: 'The views of SimCLR: crop, flip, colour jitter, grey, blur.',
  paper: 'Chen et al. 2020, arXiv:2002.05709, appendix A and B.9',
  config: z.object({
    size: z.int().min(1).describe('side of a view in pixels'),
    copies: z.int().min(1).default(2).describe('views of each image'),
    scale: viewOptions.areaShare([0.08, 1]).describe('part of the area a view shows'),
    strength: z
      .number()
      .min(0)
      .max(5)
      .default(0.5)
      .describe('of the colour jitter, s in the paper: brightness, contrast, saturation each 0.8 s, hue 0.2 s'),
    flip: viewOptions.flip(),
    jitter: viewOptions.probability(0.8).describe('probability of the colour jitter'),
    grayscale: viewOptions.grayscale(),
    blur: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('probability of a blur over a tenth of the side; by default 0.5 from 64 pixels, none below'),
    ...viewOptions.pixels(),
  }),
  build({ config }) {
    const { copies, strength: s, jitter: p, blur = blurAt(config.size, 0.5), ...rest } = config
    const jitter = { strength: [0.8 * s, 0.8 * s, 0.8 * s, Math.min(0.5, 0.2 * s)], p } as const
    const steps = viewSteps('simclr', { ...rest, interpolation: 'bilinear', jitter, blur })
    return new MultiViewTransform(Array<{ steps: Step[] }>(copies).fill({ steps }))
  },
})
