/** The crops of SwAV: two large ones and six small ones, all with the strong colour jitter of SimCLR. */
import { blurAt, defineTransform, localSizeOf, MultiViewTransform, viewSteps, z } from 'stable-pretraining'

const share = z.tuple([z.number().positive(), z.number().positive()])
const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'swav',
  description: 'Large and small crops: flip, colour jitter, grey, blur.',
  paper: 'Caron et al. 2020, arXiv:2006.09882, appendix A',
  config: z.object({
    size: z.int().min(1).describe('side of a large crop in pixels'),
    localSize: z.int().min(1).optional().describe('side of a small crop; by default 3/7 of size, a multiple of 16'),
    globalScale: share.default([0.14, 1]).describe('part of the area a large crop shows'),
    localScale: share.default([0.05, 0.14]).describe('part of the area a small crop shows'),
    localCrops: z.int().min(0).default(6).describe('small crops of each image'),
    strength: z
      .number()
      .min(0)
      .max(2.5)
      .default(1)
      .describe('of the colour jitter: brightness, contrast and saturation each 0.8 of it, hue 0.2'),
    flip: probability.default(0.5).describe('probability of swapping left and right'),
    jitter: probability.default(0.8).describe('probability of the colour jitter'),
    grayscale: probability.default(0.2).describe('probability of taking the colour out'),
    blur: probability.optional().describe('probability of a blur; by default 0.5 from 64 pixels, none below'),
    rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as CIFAR10'),
  }),
  build({ config }) {
    const { size, localSize = localSizeOf(size), globalScale, localScale, localCrops, strength: s, ...rest } = config
    const shared = {
      ...rest,
      interpolation: 'bilinear',
      jitter: { strength: [0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s], p: rest.jitter },
      blur: rest.blur ?? blurAt(size, 0.5),
    } as const
    const large = { steps: viewSteps('swav', { ...shared, size, scale: globalScale }) }
    const small = { steps: viewSteps('swav', { ...shared, size: localSize, scale: localScale }) }
    return new MultiViewTransform({
      global_1: large,
      global_2: large,
      ...Object.fromEntries(Array.from({ length: localCrops }, (_, i) => [`local_${i + 1}`, small])),
    })
  },
})
