/** The crops of DINO, iBOT, DINOv2 and MSN: two large ones that differ in blur and solarizing, and small ones. */
import { blurAt, defineTransform, localSizeOf, MultiViewTransform, viewOptions, viewSteps, z } from 'stable-pretraining'

export default defineTransform({
  name: 'dino',
  description: 'Two large and several small crops: flip, colour jitter, grey, blur, solarize.',
  paper: 'Caron et al. 2021, arXiv:2104.14294, appendix; Grill et al. 2020, arXiv:2006.07733, table 6',
  config: z.object({
    ...viewOptions.crops({ globalScale: [0.4, 1], localScale: [0.05, 0.4], localCrops: 8 }),
    flip: viewOptions.flip(),
    jitter: viewOptions.probability(0.8).describe('probability of the colour jitter of 0.4, 0.4, 0.2 and 0.1'),
    grayscale: viewOptions.grayscale(),
    blur: z.boolean().optional().describe('blur as in the paper; by default only from 64 pixels on'),
    solarize: viewOptions.probability(0.2).describe('probability of inverting bright pixels in the second large crop'),
    ...viewOptions.pixels(),
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
