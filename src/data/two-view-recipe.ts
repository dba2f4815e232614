/** Recipes of two views that differ in blur and solarizing at most: their options, and the views. It holds no recipe. */
import { z } from 'zod'
import * as options from './view-options.js'
import { blurAt, viewSteps } from './recipes.js'
import { type Interpolation, MultiViewTransform } from './transform.js'

/** The numbers of a paper; of what may differ between the views, one for each. */
export interface TwoViewRecipe {
  readonly scale: readonly [number, number]
  readonly interpolation: Interpolation
  /** Of brightness, contrast, saturation and hue. */
  readonly strength: readonly [number, number, number, number]
  /** Probabilities. */
  readonly jitter: number
  readonly grayscale: number
  readonly blur: readonly [number, number]
  readonly solarize: readonly [number, number]
}

const perView = z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)])

/** The options of such a recipe, whose defaults are the paper's numbers. */
export function twoViewOptions({ scale, strength, jitter, grayscale, blur, solarize }: TwoViewRecipe) {
  const [brightness, contrast, saturation, hue] = strength
  const factor = (of: string, value: number) =>
    z.number().min(0).max(5).default(value).describe(`how far the jitter of the ${of} goes to both sides`)
  return z.object({
    size: z.int().min(1).describe('side of a view in pixels'),
    scale: options.areaShare(scale).describe('part of the area a view shows'),
    flip: options.flip(),
    jitter: options.probability(jitter).describe('probability of the colour jitter'),
    brightness: factor('brightness', brightness),
    contrast: factor('contrast', contrast),
    saturation: factor('saturation', saturation),
    hue: z.number().min(0).max(0.5).default(hue).describe('how far the hue goes to both sides, in turns'),
    grayscale: options.grayscale(grayscale),
    blur: perView
      .optional()
      .describe(`probability of a blur in each view; by default ${blur.join(' and ')} from 64 pixels, none below`),
    solarize: perView.default([...solarize]).describe('probability of inverting bright pixels in each view'),
    ...options.pixels(),
  })
}

/** The two views that parsed options ask for. */
export function twoViews(
  where: string,
  { blur: paper, interpolation }: TwoViewRecipe,
  config: z.output<ReturnType<typeof twoViewOptions>>,
): MultiViewTransform {
  const { size, jitter: p, brightness, contrast, saturation, hue, blur, solarize, ...rest } = config
  const jitter = { strength: [brightness, contrast, saturation, hue], p } as const
  const view = (index: 0 | 1) => {
    const own = { blur: blur?.[index] ?? blurAt(size, paper[index]), solarize: solarize[index] }
    return { steps: viewSteps(where, { ...rest, size, interpolation, jitter, ...own }) }
  }
  return new MultiViewTransform([view(0), view(1)])
}
