/** The views of DINO and SwAV as one name: a few large crops and many small ones. */
import { MultiViewTransform, defineTransform, normalizeSteps, sizeOf, z, type ImageStep } from 'stable-pretraining'

const range = z.tuple([z.number().positive(), z.number().positive()])
const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'multi-crop',
  description: 'Global and local crops: colour jitter, grey, blur, solarize.',
  paper: 'Caron et al. 2021, arXiv:2104.14294; Caron et al. 2020, arXiv:2006.09882',
  config: z.object({
    globalSize: z.int().min(1).default(224).describe('side of a global view in pixels'),
    localSize: z.int().min(1).default(96).describe('side of a local view in pixels'),
    globalCrops: z.int().min(1).default(2).describe('global views of each image, first in batch.views'),
    localCrops: z.int().min(0).default(8).describe('local views of each image'),
    globalScale: range.default([0.4, 1]).describe('part of the area that a global view shows'),
    localScale: range.default([0.05, 0.4]).describe('part of the area that a local view shows'),
    blur: z
      .array(probability)
      .min(1)
      .default([1, 0.1, 0.5])
      .describe('probability of a blur for the first global view, the other global views, the local views'),
    solarize: probability.default(0.2).describe('probability of solarizing, global views but the first'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z.string().optional().describe('instead of mean and std: the name of a known data set'),
  }),
  build({ config }) {
    const [first = 0, others = first, local = others] = config.blur
    const view = (size: number, scale: readonly [number, number], blur: number, solarize: number) => ({
      steps: viewSteps(size, scale, blur, solarize, normalizeSteps('multi-crop', config)),
    })
    const { globalSize, localSize, globalCrops, localCrops, globalScale, localScale, solarize } = config
    return new MultiViewTransform([
      ...Array.from({ length: globalCrops }, (_, i) =>
        view(globalSize, globalScale, i === 0 ? first : others, i === 0 ? 0 : solarize),
      ),
      ...Array.from({ length: localCrops }, () => view(localSize, localScale, local, 0)),
    ])
  },
})

function viewSteps(
  size: number,
  scale: readonly [number, number],
  blur: number,
  solarize: number,
  end: ImageStep[],
): ImageStep[] {
  const kernel = Math.floor(size / 20) * 2 + 1 // the odd number next to a tenth of the side
  return [
    {
      type: 'random-resized-crop',
      size: sizeOf(size),
      scale,
      ratio: [3 / 4, 4 / 3],
      interpolation: 'bicubic',
      antialias: true,
    },
    { type: 'random-horizontal-flip', p: 0.5 },
    {
      type: 'color-jitter',
      brightness: [0.6, 1.4],
      contrast: [0.6, 1.4],
      saturation: [0.8, 1.2],
      hue: [-0.1, 0.1],
      p: 0.8,
    },
    { type: 'random-grayscale', p: 0.2 },
    ...(blur > 0 ? [{ type: 'gaussian-blur', kernelSize: [kernel, kernel], sigma: [0.1, 2], p: blur } as const] : []),
    ...(solarize > 0 ? [{ type: 'random-solarize', threshold: 128, p: solarize } as const] : []),
    ...end,
  ]
}
