/** The crops of DINO, iBOT, DINOv2 and MSN: two large ones that differ in blur and solarizing, and small ones. */
import { blurAt, defineTransform, localSizeOf, MultiViewTransform, viewSteps, z } from 'stable-pretraining'

const share = z.tuple([z.number().positive(), z.number().positive()])
const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'dino',
  description: 'Two large and several small crops: flip, colour jitter, grey, blur, solarize.',
  paper: 'Caron et al. 2021, arXiv:2104.14294, appendix; Grill et al. 2020, arXiv:2006.07733, table 6',
  config: z.object({
    size: z.int().min(1).describe('side of a large crop in pixels'),
    localSize: z.int().min(1).optional().describe('side of a small crop; by default 3/7 of size, a multiple of 16'),
    globalScale: share.default([0.4, 1]).describe('part of the area a large crop shows'),
    localScale: share.default([0.05, 0.4]).describe('part of the area a small crop shows'),
    localCrops: z.int().min(0).default(8).describe('small crops of each image'),
    flip: probability.default(0.5).describe('probability of swapping left and right'),
    jitter: probability.default(0.8).describe('probability of the colour jitter of 0.4, 0.4, 0.2 and 0.1'),
    grayscale: probability.default(0.2).describe('probability of taking the colour out'),
    blur: z.boolean().optional().describe('blur as in the paper; by default only from 64 pixels on'),
    solarize: probability.default(0.2).describe('probability of inverting bright pixels in the second large crop'),
    rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as CIFAR10'),
  }),
  build({ config }) {
    const { size, localSize = localSizeOf(size), globalScale, localScale, localCrops, ...rest } = config
    const jitter = { strength: [0.4, 0.4, 0.2, 0.1], p: rest.jitter } as const
    const blurred = (p: number): number => (rest.blur === undefined ? blurAt(size, p) : rest.blur ? p : 0)
    const view = (of: { size: number; scale: [number, number]; blur: number; solarize: number }) => ({
      steps: viewSteps('dino', { ...rest, jitter, ...of }),
    })
    const large = { size, scale: globalScale }
    const small = view({ size: localSize, scale: localScale, blur: blurred(0.5), solarize: 0 })
    return new MultiViewTransform({
      global_1: view({ ...large, blur: blurred(1), solarize: 0 }),
      global_2: view({ ...large, blur: blurred(0.1), solarize: config.solarize }),
      ...Object.fromEntries(Array.from({ length: localCrops }, (_, i) => [`local_${i + 1}`, small])),
    })
  },
})
