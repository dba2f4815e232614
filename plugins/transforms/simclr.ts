/** The augmentation of SimCLR as one name: crop, flip, colour jitter, grey, blur. */
import { MultiViewTransform, defineTransform, normalizeSteps, sizeOf, z, type Step } from 'stable-pretraining'

const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'simclr',
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
    const { size, copies, scale, strength, flip, jitter, grayscale, blur = size >= 64 ? 0.5 : 0 } = config
    const factor = [Math.max(0, 1 - 0.8 * strength), 1 + 0.8 * strength] as const
    const hue = Math.min(0.5, 0.2 * strength)
    const kernel = Math.floor(size / 20) * 2 + 1 // the odd number next to a tenth of the side
    const steps: Step[] = [
      {
        type: 'random-resized-crop',
        size: sizeOf(size),
        scale,
        ratio: [3 / 4, 4 / 3],
        interpolation: 'bilinear',
        antialias: true,
      },
      { type: 'random-horizontal-flip', p: flip },
      { type: 'color-jitter', brightness: factor, contrast: factor, saturation: factor, hue: [-hue, hue], p: jitter },
      { type: 'random-grayscale', p: grayscale },
      ...(blur > 0 ? [{ type: 'gaussian-blur', kernelSize: [kernel, kernel], sigma: [0.1, 2], p: blur } as const] : []),
      ...(config.rgb ? [{ type: 'rgb' } as const] : []),
      ...normalizeSteps('simclr', config),
    ]
    return new MultiViewTransform(Array<{ steps: Step[] }>(copies).fill({ steps }))
  },
})
