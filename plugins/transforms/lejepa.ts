/** The crops of LeJEPA and VISReg: large and small ones, all augmented alike. */
import { blurAt, defineTransform, localSizeOf, MultiViewTransform, viewOptions, viewSteps, z } from 'stable-pretraining'

export default defineTransform({
  name: 'lejepa',
  aliases: ['visreg'],
  description: 'Large and small crops: flip, colour jitter, grey, blur, solarize.',
  paper: 'Balestriero & LeCun 2025, arXiv:2511.08544',
  config: z.object({
    ...viewOptions.crops({ globalScale: [0.3, 1], localScale: [0.05, 0.3], localCrops: 6 }),
    globalCrops: z.int().min(1).default(2).describe('large crops of each image'),
    flip: viewOptions.flip(),
    jitter: viewOptions.probability(0.8).describe('probability of the colour jitter of 0.4, 0.4, 0.2 and 0.1'),
    grayscale: viewOptions.grayscale(),
    blur: viewOptions.blur(),
    solarize: viewOptions.probability(0.2).describe('probability of inverting bright pixels'),
    ...viewOptions.pixels(),
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
