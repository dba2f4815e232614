/** The crops of LeJEPA and VISReg: large and small ones, all augmented alike. */
import { blurAt, defineTransform, localSizeOf, MultiViewTransform, viewSteps, z } from 'stable-pretraining'

const share = z.tuple([z.number().positive(), z.number().positive()])
const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'lejepa',
  aliases: ['visreg'],
  description: 'Large and small crops: flip, colour jitter, grey, blur, solarize.',
  paper: 'Balestriero & LeCun 2025, arXiv:2511.08544',
  config: z.object({
    size: z.int().min(1).describe('side of a large crop in pixels'),
    localSize: z.int().min(1).optional().describe('side of a small crop; by default 3/7 of size, a multiple of 16'),
    globalScale: share.default([0.3, 1]).describe('part of the area a large crop shows'),
    localScale: share.default([0.05, 0.3]).describe('part of the area a small crop shows'),
    globalCrops: z.int().min(1).default(2).describe('large crops of each image'),
    localCrops: z.int().min(0).default(6).describe('small crops of each image'),
    flip: probability.default(0.5).describe('probability of swapping left and right'),
    jitter: probability.default(0.8).describe('probability of the colour jitter of 0.4, 0.4, 0.2 and 0.1'),
    grayscale: probability.default(0.2).describe('probability of taking the colour out'),
    blur: probability.optional().describe('probability of a blur; by default 0.5 from 64 pixels, none below'),
    solarize: probability.default(0.2).describe('probability of inverting bright pixels'),
    rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as CIFAR10'),
  }),
  build({ config }) {
    const { size, localSize = localSizeOf(size), globalScale, localScale, globalCrops, localCrops, ...rest } = config
    const jitter = { strength: [0.4, 0.4, 0.2, 0.1], p: config.jitter } as const
    const shared = { ...rest, jitter, blur: config.blur ?? blurAt(size, 0.5) }
    const crops = (name: string, count: number, of: { size: number; scale: [number, number] }) => {
      const view = { steps: viewSteps('lejepa', { ...shared, ...of }) }
      return Array.from({ length: count }, (_, index) => [`${name}_${index + 1}`, view] as const)
    }
    return new MultiViewTransform(
      Object.fromEntries([
        ...crops('global', globalCrops, { size, scale: globalScale }),
        ...crops('local', localCrops, { size: localSize, scale: localScale }),
      ]),
    )
  },
})
