/** The crops of SwAV: two large ones and six small ones, all with the strong colour jitter of SimCLR. */
import { blurAt, defineTransform, localSizeOf, MultiViewTransform, viewOptions, viewSteps, z } from 'stable-pretraining'

export default defineTransform({
  name: 'swav',
  description: 'Large and small crops: flip, colour jitter, grey, blur.',
  paper: 'Caron et al. 2020, arXiv:2006.09882, appendix A',
  config: z.object({
    ...viewOptions.crops({ globalScale: [0.14, 1], localScale: [0.05, 0.14], localCrops: 6 }),
    strength: z
      .number()
      .min(0)
      .max(2.5)
      .default(1)
      .describe('of the colour jitter: brightness, contrast and saturation each 0.8 of it, hue 0.2'),
    flip: viewOptions.flip(),
    jitter: viewOptions.probability(0.8).describe('probability of the colour jitter'),
    grayscale: viewOptions.grayscale(),
    blur: viewOptions.blur(),
    ...viewOptions.pixels(),
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
