/**
 * The steps that the native core does to images, and how each is told to it. What a step draws at random and records is
 * said there; other steps, which JavaScript runs, are in sample-steps.ts.
 */
import type { Pipeline } from '../native.js'

/** Height and width in pixels. */
export type Size = readonly [height: number, width: number]

export type Interpolation = 'nearest' | 'nearest-exact' | 'bilinear' | 'bicubic'

/** A range [low, high] that a random number is drawn from, evenly. */
export type Range = readonly [low: number, high: number]

/** One value, or a value a channel; null blends the edge towards zeros. */
type Values = readonly number[] | null

/**
 * One operation, every value given; names and meanings are torchvision's (transforms v2). Sizes are pixels, `p`
 * probabilities. Fills and thresholds are grey levels 0..255, or after `to-image` or `normalize` values of the floats.
 */
export type ImageOperation =
  | {
      readonly type: 'resize'
      readonly size: number | Size
      readonly interpolation: Interpolation
      readonly maxSize?: number
      readonly antialias: boolean
    }
  | { readonly type: 'center-crop'; readonly size: Size }
  | {
      readonly type: 'pad'
      readonly padding: readonly [left: number, top: number, right: number, bottom: number]
      readonly fill: number
      readonly paddingMode: 'constant' | 'edge' | 'reflect' | 'symmetric'
    }
  | {
      readonly type: 'random-crop'
      readonly size: Size
      readonly padding: readonly [left: number, top: number, right: number, bottom: number]
      readonly padIfNeeded: boolean
      readonly fill: number
      readonly paddingMode: 'constant' | 'edge' | 'reflect' | 'symmetric'
    }
  | {
      readonly type: 'random-resized-crop'
      readonly size: Size
      readonly scale: Range
      readonly ratio: Range
      readonly interpolation: Interpolation
      readonly antialias: boolean
    }
  | { readonly type: 'random-horizontal-flip'; readonly p: number }
  | { readonly type: 'random-vertical-flip'; readonly p: number }
  | {
      readonly type: 'color-jitter'
      readonly brightness: Range | null
      readonly contrast: Range | null
      readonly saturation: Range | null
      readonly hue: Range | null
      readonly p: number
    }
  | { readonly type: 'random-grayscale'; readonly p: number }
  | {
      readonly type: 'gaussian-blur'
      readonly kernelSize: readonly [across: number, down: number]
      readonly sigma: Range
      readonly p: number
    }
  | { readonly type: 'pil-gaussian-blur'; readonly sigma: Range; readonly p: number }
  | { readonly type: 'random-solarize'; readonly threshold: number; readonly p: number }
  | { readonly type: 'random-invert'; readonly p: number }
  | { readonly type: 'random-equalize'; readonly p: number }
  | { readonly type: 'random-autocontrast'; readonly p: number }
  | { readonly type: 'random-posterize'; readonly bits: number; readonly p: number }
  | { readonly type: 'random-adjust-sharpness'; readonly sharpnessFactor: number; readonly p: number }
  | {
      readonly type: 'random-rotation'
      readonly degrees: Range
      readonly interpolation: 'nearest' | 'bilinear'
      readonly expand: boolean
      readonly center: readonly [x: number, y: number] | null
      readonly fill: Values
    }
  | {
      readonly type: 'random-affine'
      readonly degrees: Range
      readonly translate: readonly [across: number, down: number] | null
      readonly scale: Range | null
      readonly shear: readonly [xLow: number, xHigh: number, yLow: number, yHigh: number] | null
      readonly interpolation: 'nearest' | 'bilinear'
      readonly fill: Values
      readonly center: readonly [x: number, y: number] | null
    }
  | {
      readonly type: 'random-perspective'
      readonly distortionScale: number
      readonly interpolation: 'nearest' | 'bilinear'
      readonly fill: Values
      readonly p: number
    }
  | {
      readonly type: 'random-erasing'
      readonly scale: Range
      readonly ratio: Range
      /** Null: normal numbers. */
      readonly value: Values
      readonly p: number
    }
  | {
      readonly type: 'gaussian-noise'
      readonly mean: number
      readonly sigma: number
      readonly clip: boolean
      readonly p: number
    }
  | { readonly type: 'additive-gaussian'; readonly sigma: number; readonly p: number }
  | { readonly type: 'random-channel-permutation' }
  | {
      readonly type: 'patch-masking'
      readonly patchSize: number
      readonly dropRatio: number
      readonly fillValue: number
    }
  | { readonly type: 'rgb' }
  | { readonly type: 'to-image' }
  | { readonly type: 'normalize'; readonly mean: readonly number[]; readonly std: readonly number[] }

export type ImageStep = ImageOperation & {
  /** Where in the sample the image is, by a dotted path such as `views.0.image`; several share what is drawn. Default image. */
  readonly source?: string | readonly string[]
  /** Where the result goes; default: the source. */
  readonly target?: string | readonly string[]
  /** What is drawn is put into the batch under this key; default: the transform's class name, made unique. */
  readonly recordAs?: string
}

const list = (values: readonly number[] | null): number[] | null => values && [...values]

/** How each type is told to the pipeline. */
const adders: { [T in ImageOperation['type']]: (pipeline: Pipeline, step: ImageOperation & { type: T }) => void } = {
  resize(pipeline, { size, maxSize, interpolation, antialias }) {
    if (typeof size === 'number') pipeline.resizeEdge(size, maxSize ?? null, interpolation, antialias)
    else pipeline.resize([...size], interpolation, antialias)
  },
  'center-crop': (pipeline, { size }) => pipeline.centerCrop([...size]),
  pad: (pipeline, { padding, paddingMode, fill }) => pipeline.pad([...padding], paddingMode, fill),
  'random-crop': (pipeline, { size, padding, padIfNeeded, paddingMode, fill }) =>
    pipeline.randomCrop([...size], [...padding], padIfNeeded, paddingMode, fill),
  'random-resized-crop': (pipeline, { size, scale, ratio, interpolation, antialias }) =>
    pipeline.randomResizedCrop([...size], [...scale], [...ratio], interpolation, antialias),
  'random-horizontal-flip': (pipeline, { p }) => pipeline.randomHorizontalFlip(p),
  'random-vertical-flip': (pipeline, { p }) => pipeline.randomVerticalFlip(p),
  'color-jitter': (pipeline, { brightness, contrast, saturation, hue, p }) =>
    pipeline.colorJitter(list(brightness), list(contrast), list(saturation), list(hue), p),
  'random-grayscale': (pipeline, { p }) => pipeline.randomGrayscale(p),
  'gaussian-blur': (pipeline, { kernelSize, sigma, p }) => pipeline.gaussianBlur([...kernelSize], [...sigma], p),
  'pil-gaussian-blur': (pipeline, { sigma, p }) => pipeline.pilGaussianBlur([...sigma], p),
  'random-solarize': (pipeline, { threshold, p }) => pipeline.randomSolarize(threshold, p),
  'random-invert': (pipeline, { p }) => pipeline.randomInvert(p),
  'random-equalize': (pipeline, { p }) => pipeline.randomEqualize(p),
  'random-autocontrast': (pipeline, { p }) => pipeline.randomAutocontrast(p),
  'random-posterize': (pipeline, { bits, p }) => pipeline.randomPosterize(bits, p),
  'random-adjust-sharpness': (pipeline, { sharpnessFactor, p }) => pipeline.randomAdjustSharpness(sharpnessFactor, p),
  'random-rotation': (pipeline, { degrees, expand, center, interpolation, fill }) =>
    pipeline.randomRotation([...degrees], expand, list(center), interpolation, list(fill)),
  'random-affine': (pipeline, { degrees, translate, scale, shear, center, interpolation, fill }) =>
    pipeline.randomAffine(
      [...degrees],
      list(translate),
      list(scale),
      list(shear),
      list(center),
      interpolation,
      list(fill),
    ),
  'random-perspective': (pipeline, { distortionScale, interpolation, fill, p }) =>
    pipeline.randomPerspective(distortionScale, interpolation, list(fill), p),
  'random-erasing': (pipeline, { scale, ratio, value, p }) =>
    pipeline.randomErasing([...scale], [...ratio], list(value), p),
  'gaussian-noise': (pipeline, { mean, sigma, clip, p }) => pipeline.gaussianNoise(mean, sigma, clip, p),
  'additive-gaussian': (pipeline, { sigma, p }) => pipeline.additiveGaussian(sigma, p),
  'random-channel-permutation': (pipeline) => pipeline.randomChannelPermutation(),
  'patch-masking': (pipeline, { patchSize, dropRatio, fillValue }) =>
    pipeline.patchMasking(patchSize, dropRatio, fillValue),
  rgb: (pipeline) => pipeline.rgb(),
  'to-image': (pipeline) => pipeline.toImage(),
  normalize: (pipeline, { mean, std }) => pipeline.normalize([...mean], [...std]),
}

export function isImageStep(step: { readonly type: string }): step is ImageStep {
  return step.type in adders
}

/** Appends a step. ERR_ARGUMENT where an argument is out of range. */
export function addStep(pipeline: Pipeline, step: ImageStep): void {
  const add = adders[step.type] as (pipeline: Pipeline, step: ImageOperation) => void
  add(pipeline, step)
}
