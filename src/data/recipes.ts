/** The steps of one view, as the recipes of self-supervised methods put them together. It holds no recipe. */
import { type Interpolation, type Normalization, normalizeSteps, type Range, sizeOf, type Step } from './transform.js'

export interface ViewRecipe extends Normalization {
  /** Side in pixels. */
  readonly size: number
  /** Range of the share of the image's area that is shown. */
  readonly scale: Range
  readonly interpolation?: Interpolation
  /** Probability of swapping left and right. */
  readonly flip?: number
  /** Strength of brightness, contrast, saturation and hue, and how often they change. */
  readonly jitter?: { readonly strength: readonly [number, number, number, number]; readonly p: number }
  /** Probability of taking the colour out. */
  readonly grayscale?: number
  /** Probability of a blur over a tenth of the side. */
  readonly blur?: number
  /** Probability of inverting the bright half of the pixels. */
  readonly solarize?: number
  /** Grey images get three channels. */
  readonly rgb?: boolean
}

/** Crop, flip, colour jitter, grey, blur, solarize, normalise, in this order; what has the probability 0 is left out. */
export function viewSteps(where: string, recipe: ViewRecipe): Step[] {
  const { size, scale, interpolation = 'bicubic', flip = 0, jitter, grayscale = 0, blur = 0, solarize = 0 } = recipe
  const kernel = Math.floor(size / 20) * 2 + 1 // the odd number next to a tenth of the side
  const steps: Array<Step | false> = [
    {
      type: 'random-resized-crop',
      size: sizeOf(size),
      scale,
      ratio: [3 / 4, 4 / 3],
      interpolation,
      antialias: true,
    },
    flip > 0 && { type: 'random-horizontal-flip', p: flip },
    jitter !== undefined && jitter.p > 0 && colorJitter(jitter),
    grayscale > 0 && { type: 'random-grayscale', p: grayscale },
    blur > 0 && { type: 'gaussian-blur', kernelSize: [kernel, kernel], sigma: [0.1, 2], p: blur },
    solarize > 0 && { type: 'random-solarize', threshold: 128, p: solarize },
    recipe.rgb === true && { type: 'rgb' },
    ...normalizeSteps(where, recipe),
  ]
  return steps.filter((step) => step !== false)
}

function colorJitter({ strength, p }: NonNullable<ViewRecipe['jitter']>): Step {
  const factor = (by: number): Range => [Math.max(0, 1 - by), 1 + by]
  const [brightness, contrast, saturation, hue] = strength
  return {
    type: 'color-jitter',
    brightness: factor(brightness),
    contrast: factor(contrast),
    saturation: factor(saturation),
    hue: [-hue, hue],
    p,
  }
}

/** Side of a small crop beside large ones: 96 of 224 pixels in SwAV and DINO, a multiple of 16 so that patches fit. */
export const localSizeOf = (size: number): number => Math.max(16, Math.round((size * 96) / 224 / 16) * 16)

/** How often views of that side are blurred: as in the papers from 64 pixels on; below, a blur takes too much. */
export const blurAt = (size: number, probability: number): number => (size >= 64 ? probability : 0)
