/**
 * What is done to an image on its way into a batch: an ordered list of steps that the native core runs for a whole batch.
 * A transform holds no code and no random state: the same steps with the same (seed, epoch, index, view) give the same pixels.
 */
import { SptError, argumentInvalid } from '../errors.js'
import { statisticsOf } from './statistics.js'

/** Height and width in pixels. */
export type Size = readonly [height: number, width: number]

export type Interpolation = 'nearest' | 'bilinear' | 'bicubic'

/** A range [low, high] that a random number is drawn from, evenly. */
export type Range = readonly [low: number, high: number]

/**
 * One step, every value given; names and meanings are torchvision's (transforms v2). Sizes are pixels, `p` probabilities,
 * fills and thresholds grey levels 0..255. The order of steps is the order of a list; `normalize` comes last.
 */
export type Step =
  | {
      readonly type: 'resize'
      readonly size: number | Size
      readonly interpolation: Interpolation
      readonly maxSize?: number
      readonly antialias: boolean
    }
  | { readonly type: 'center-crop'; readonly size: Size }
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
  | { readonly type: 'random-solarize'; readonly threshold: number; readonly p: number }
  | { readonly type: 'rgb' }
  | { readonly type: 'normalize'; readonly mean: readonly number[]; readonly std: readonly number[] }

/** One image in, one image out. */
export interface Transform {
  readonly steps: readonly Step[]
}

/** One image in, several images (views) out: a list becomes `batch.views`, a record becomes `batch.<name>`. */
export interface MultiView {
  readonly views: readonly Transform[] | { readonly [name: string]: Transform }
}

export function isMultiView(transform: Transform | MultiView): transform is MultiView {
  return 'views' in transform
}

/** Transforms one after another as one. A multi-view transform stands alone: its steps go into its views. */
export function compose(transforms: readonly (Transform | MultiView)[]): Transform | MultiView {
  const [first] = transforms
  if (first !== undefined && transforms.length === 1) return first
  return chain(transforms)
}

/** Like `compose`, where several views make no sense. */
export function chain(transforms: readonly (Transform | MultiView)[]): Transform {
  const steps = transforms.flatMap((transform) => {
    if (isMultiView(transform)) {
      throw new SptError('ERR_ARGUMENT', 'a multi-view transform stands in a list with others', {
        hint: 'Put the other steps into its views.',
      })
    }
    return transform.steps
  })
  const normalize = steps.findIndex((step) => step.type === 'normalize')
  const after = normalize < 0 ? undefined : steps[normalize + 1]
  if (after !== undefined) {
    throw new SptError('ERR_ARGUMENT', `${after.type} stands after normalize`, {
      hint: 'Steps before normalize work on pixels of 0..255; normalize comes last.',
    })
  }
  return { steps }
}

/** Several views of each image, as stable-pretraining's MultiViewTransform; each view has random numbers of its own. */
export class MultiViewTransform implements MultiView {
  readonly views: MultiView['views']

  /** A list gives `batch.views`; a record gives an entry of the batch for each name. */
  constructor(views: MultiView['views']) {
    const count = Object.keys(views).length
    if (count === 0) throw argumentInvalid('MultiViewTransform views', 'at least one view', views)
    this.views = views
  }
}

/** One size as a square, two as height and width. */
export function sizeOf(size: number | readonly number[]): Size {
  if (typeof size === 'number') return [size, size]
  const [height = 0, width = height] = size
  return [height, width]
}

/** An interpolation by its name, or by the number that PIL and stable-pretraining use. */
export function interpolationOf(value: Interpolation | 0 | 2 | 3): Interpolation {
  return typeof value === 'string' ? value : ({ 0: 'nearest', 2: 'bilinear', 3: 'bicubic' } as const)[value]
}

/** Mean and standard deviation, given or by the name of a known data set. */
export interface Normalization {
  readonly mean?: readonly number[] | undefined
  readonly std?: readonly number[] | undefined
  readonly statistics?: string | undefined
}

/** The normalize step that the options of `where` ask for, none where they give nothing. ERR_ARGUMENT where they contradict. */
export function normalizeSteps(where: string, { mean, std, statistics }: Normalization): Step[] {
  if (statistics !== undefined) {
    if (mean !== undefined || std !== undefined) throw argumentInvalid(where, 'mean and std, or statistics', 'both')
    return [{ type: 'normalize', ...statisticsOf(statistics) }]
  }
  if (mean === undefined && std === undefined) return []
  if (mean === undefined || std === undefined || mean.length !== std.length) {
    throw argumentInvalid(where, 'mean and std of equal length', { mean, std })
  }
  return [{ type: 'normalize', mean, std }]
}
