/**
 * What is done to a sample on its way into a batch: an ordered list of steps. Steps on images run natively for a whole batch,
 * the others in JavaScript. A transform has no random state: the same steps with the same (seed, epoch, index, view) give the
 * same pixels.
 */
import { argumentInvalid, unsupported } from '../errors.js'
import type { Generator } from '../tensor/index.js'
import type { BatchTransform } from './batch-transform.js'
import type { ImageStep, Interpolation, Size } from './image-steps.js'
import { statisticsOf } from './statistics.js'

export type { ImageStep, Interpolation, Range, Size } from './image-steps.js'

/** What a function in a transform is told beside its value. */
export interface StepContext {
  /** The sample's place in the data set. */
  readonly index: number
  readonly epoch: number
  /** Random numbers of this sample, epoch, view and step alone. */
  readonly generator: Generator
}

/** A sample while it is transformed: what the data set gave, and what steps have put there. */
export type SampleValues = Record<string, unknown>

/** Numbers that a step draws for a sample; the batch holds them stacked. */
export interface Drawn {
  readonly data: Float32Array | BigInt64Array | Uint8Array
  /** [] for a single number. Lists of int64 of unequal length are cut to the shortest of the batch. */
  readonly shape: readonly number[]
  /** Truth values, kept as bytes. */
  readonly bool?: boolean
}

/** A step that JavaScript runs. */
export type SampleStep =
  /** A function of this program, on the main thread: it holds up the event loop for as long as it takes. */
  | {
      readonly type: 'lambda'
      /** The value at `source`, or the whole sample where there is none; returns what takes its place. */
      apply(value: unknown, context: StepContext): unknown
      readonly source?: string
      readonly target?: string
    }
  /** An exported function of a module, in worker threads. */
  | {
      readonly type: 'worker'
      /** Absolute path, or a file: URL. */
      readonly module: string
      readonly export: string
      /** Handed to the function; anything that can be cloned. */
      readonly options: unknown
      readonly source: string
      readonly target: string
    }
  /** Numbers drawn for an image of that size, such as masks of its patches. */
  | {
      readonly type: 'draw'
      readonly source: string
      draw(size: { height: number; width: number }, generator: Generator): Record<string, Drawn>
    }
  /** Some frames of a clip, chosen for each sample; what is recorded of the choice goes by the name of the transform. */
  | {
      readonly type: 'frames'
      readonly source: string
      readonly target: string
      choose(frames: number, generator: Generator): { frames: readonly number[]; drawn?: Record<string, Drawn> }
    }
  | {
      readonly type: 'conditional'
      readonly steps: readonly Step[]
      readonly key: string
      readonly applyOnTrue: boolean
    }
  | {
      readonly type: 'routing'
      route(sample: SampleValues): string | number
      readonly routes: { readonly [name: string]: readonly Step[] }
    }
  /** What is drawn depends on `sample[key] + seedOffset` alone, in every epoch and view. */
  | { readonly type: 'controlled'; readonly steps: readonly Step[]; readonly key: string; readonly seedOffset: number }
  | { readonly type: 'views'; readonly views: MultiView['views'] }
  /** The first view of a sample goes by the first transform, the second by the second, round and round. */
  | { readonly type: 'round-robin'; readonly transforms: readonly Transform[] }

export type Step = ImageStep | SampleStep

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

/** How many views are made of an image; undefined where functions decide, which may make any number. */
export function viewCount(transform: Transform | MultiView): number | undefined {
  if (isMultiView(transform)) return Object.keys(transform.views).length
  if (transform.steps.some(({ type }) => type === 'lambda' || type === 'worker')) return undefined
  const views = transform.steps.find((step) => step.type === 'views')
  return views === undefined ? 1 : Object.keys(views.views).length
}

/** Transforms one after another as one; what follows a multi-view transform finds its views by paths such as `views.0.image`. */
export function compose(transforms: readonly (Transform | MultiView | BatchTransform)[]): Transform | MultiView {
  const [first] = transforms
  if (first !== undefined && transforms.length === 1) return ofSamples(first)
  return chain(transforms)
}

/** Like `compose`, always a list of steps. ERR_UNSUPPORTED where one works on whole batches. */
export function chain(transforms: readonly (Transform | MultiView | BatchTransform)[]): Transform {
  const steps = transforms
    .map(ofSamples)
    .flatMap((transform): readonly Step[] =>
      isMultiView(transform) ? [{ type: 'views', views: transform.views }] : transform.steps,
    )
  return { steps }
}

function ofSamples(transform: Transform | MultiView | BatchTransform): Transform | MultiView {
  if (!('applyBatch' in transform)) return transform
  const hint = 'Write it under batch_transform, or as batchTransform of a loader.'
  throw unsupported('transform', 'one of them works on whole batches', hint)
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
export function normalizeSteps(where: string, { mean, std, statistics }: Normalization): ImageStep[] {
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
