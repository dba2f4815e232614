/**
 * What is done to a batch after it is made, where it is used: images mixed with each other, tensors augmented sample by sample,
 * views stacked. Its random numbers follow from (seed, epoch, number of the batch) alone, so a resumed run draws the same.
 */
import { SptError, unsupported } from '../errors.js'
import { Generator, noGrad, scope, Tensor } from '../tensor/index.js'
import { byClip } from './clip.js'
import type { Batch, BatchSource, View } from './data-loader.js'
import { isImageStep, type ImageStep } from './image-steps.js'
import { buildPipeline, type BuiltPipeline } from './native-pipeline.js'
import { recordColumns } from './records.js'
import { isMultiView, type MultiView, type Transform } from './transform.js'

/** The place of a batch in a run. */
export interface BatchContext {
  readonly epoch: number
  /** Its number in the epoch. */
  readonly batch: number
  /** Random numbers of this batch alone. */
  readonly generator: Generator
}

export interface BatchTransform {
  /** How many views it makes of an image that has one; absent: it makes none. */
  readonly views?: number
  /** Whether it takes tensors of any device: it is done on the trainer's, unless one that cannot comes after it. */
  readonly anyDevice?: boolean
  /** The batch that takes its place; entries it does not change may be shared. */
  applyBatch(batch: Batch, context: BatchContext): Batch | Promise<Batch>
}

export function isBatchTransform(value: object): value is BatchTransform {
  return 'applyBatch' in value
}

/**
 * Any transform as one of batches: steps on images are done to the float tensors of `image`, or of every view, each sample
 * with numbers of its own; several views make `views` of one image. ERR_UNSUPPORTED for steps on whole samples.
 */
export function batchTransform(transform: Transform | MultiView | BatchTransform): BatchTransform {
  if (isBatchTransform(transform)) return transform
  if (!isMultiView(transform)) return new AugmentBatch(imageSteps(transform))
  if (!Array.isArray(transform.views)) {
    throw unsupported('batch_transform', 'views of a batch have no names', 'Give multi-view a list of views.')
  }
  return new StackedMultiView(transform.views as readonly Transform[])
}

function imageSteps({ steps }: Transform): ImageStep[] {
  return steps.map((step) => {
    const elsewhere =
      !isImageStep(step) || [step.source, step.target].some((path) => path !== undefined && path !== 'image')
    if (elsewhere) {
      throw unsupported(
        'batch_transform',
        `${step.type} works on single samples, or away from image`,
        'Put it under transform.',
      )
    }
    return step
  })
}

/** What a source of batches says is done to them, one after the other; `move` brings a batch to the device it is used on. */
export async function applyBatchTransforms(
  source: BatchSource | undefined,
  batch: Batch,
  { epoch, batch: number }: { epoch: number; batch: number },
  move: (batch: Batch) => Batch = (same) => same,
): Promise<Batch> {
  const transforms = source?.batchTransform ?? []
  if (transforms.length === 0) return move(batch)
  const onDevice = transforms.findLastIndex(({ anyDevice }) => anyDevice !== true) + 1
  const seed = source?.seed ?? 0
  const generator = new Generator(0)
  const stream = (BigInt(epoch) << 32n) | BigInt(number)
  // A seed that no loader has, since the loader's own streams start from the plain one.
  generator.setState({ seed: BigInt.asUintN(64, BigInt(seed) ^ 0xb5ad4eceda1ce2a9n), stream, position: 0n })
  return noGrad(async () => {
    const given = tensorsIn(batch)
    let made = batch
    const replaceBy = (next: Batch) => {
      freeReplaced(given, made, next)
      made = next
    }
    for (const [place, transform] of transforms.entries()) {
      if (place === onDevice) replaceBy(move(made))
      replaceBy(await transform.applyBatch(made, { epoch, batch: number, generator }))
    }
    if (onDevice === transforms.length) replaceBy(move(made))
    return made
  })
}

/** What one transform made and the next has replaced is in nobody's hands any more; `given` is the caller's. */
function freeReplaced(given: ReadonlySet<Tensor>, made: Batch, next: Batch): void {
  const [before, after] = [tensorsIn(made), tensorsIn(next)]
  for (const value of before) if (!given.has(value) && !after.has(value)) value.dispose()
}

function tensorsIn(value: unknown, found = new Set<Tensor>()): Set<Tensor> {
  if (value instanceof Tensor) found.add(value)
  else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) tensorsIn(item, found)
  return found
}

/**
 * Native steps on tensors of floats, sample by sample, where the tensors lie. On a GPU each step is a dispatch or two for the
 * whole batch; the random numbers are those of the CPU. Floats are not rounded between steps, whereas under `transform` bytes lose
 * their fraction after each: a single step differs by a grey level at most, a whole list of changes of colour by one or two.
 */
class AugmentBatch implements BatchTransform {
  readonly anyDevice = true
  readonly #built: BuiltPipeline

  constructor(steps: readonly ImageStep[]) {
    this.#built = buildPipeline(ofFloats(steps), { floats: true, fromFloats: true })
  }

  applyBatch(batch: Batch, { generator }: BatchContext): Promise<Batch> {
    return overImages(batch, async (image) => augment(image, this.#built, generator))
  }
}

/** `change` done to the image of a batch, or to that of each view. */
export async function overImages(batch: Batch, change: (image: Tensor) => Promise<View>): Promise<Batch> {
  const { image, views } = batch
  if (image !== undefined) return { ...batch, ...(await change(image)) }
  if (views === undefined) throw new SptError('ERR_DATA', 'batch_transform: the batch has neither image nor views')
  const made: View[] = []
  for (const view of views) made.push({ ...view, ...(await change(view.image)) })
  return { ...batch, views: made }
}

/** Transforms of batches one after another as one; those of images are done to the tensors of a batch. */
export class ComposeBatch implements BatchTransform {
  readonly views?: number
  readonly anyDevice: boolean
  readonly #parts: readonly BatchTransform[]

  constructor(transforms: readonly (Transform | MultiView | BatchTransform)[]) {
    this.#parts = transforms.map(batchTransform)
    const views = this.#parts.find((part) => part.views !== undefined)?.views
    if (views !== undefined) this.views = views
    this.anyDevice = this.#parts.every(({ anyDevice }) => anyDevice === true)
  }

  async applyBatch(batch: Batch, context: BatchContext): Promise<Batch> {
    const given = tensorsIn(batch)
    let made = batch
    for (const part of this.#parts) {
      const next = await part.applyBatch(made, context)
      freeReplaced(given, made, next)
      made = next
    }
    return made
  }
}

/** Views of the image of a batch, each by a transform of its own; `image` itself is left out of the batch. */
export class StackedMultiView implements BatchTransform {
  readonly views: number
  readonly anyDevice: boolean
  readonly #parts: readonly BatchTransform[]

  /** A transform for each view. */
  constructor(views: readonly (Transform | BatchTransform)[]) {
    this.views = views.length
    this.#parts = views.map(batchTransform)
    this.anyDevice = this.#parts.every(({ anyDevice }) => anyDevice === true)
  }

  async applyBatch({ image, ...batch }: Batch, context: BatchContext): Promise<Batch> {
    if (image === undefined)
      throw new SptError('ERR_DATA', 'batch_transform: views are made of image, which the batch lacks')
    const labels = batch.label === undefined ? {} : { label: batch.label }
    const views: View[] = []
    for (const part of this.#parts) {
      const { index: _, ...view } = await part.applyBatch({ ...labels, image, index: batch.index }, context)
      views.push(view as View)
    }
    return { ...batch, views } as Batch
  }
}

/** Steps for images that are floats from the start: a threshold above 1, which these do not reach, is a grey level of 0..255. */
const ofFloats = (steps: readonly ImageStep[]): ImageStep[] =>
  steps
    .filter(({ type }) => type !== 'to-image')
    .map((step) =>
      step.type === 'random-solarize' && step.threshold > 1 ? { ...step, threshold: step.threshold / 255 } : step,
    )

/**
 * [batch, channel, height, width], or clips [batch, frame, …] whose frames share their numbers, by a pipeline, and what was
 * drawn. Each call takes numbers that no other takes.
 */
function augment(image: Tensor, { pipeline, keys }: BuiltPipeline, generator: Generator): View {
  const [count = 0, frames = 1] = image.shape.slice(0, -3)
  const numbers = Array.from({ length: count * frames }, (_, i) => Math.floor(i / frames))
  const [seed, stream] = [generator.integer(words), generator.integer(words)]
  const { made, record, recorded } = scope(() => {
    const flat = image.reshape([count * frames, ...image.shape.slice(-3)])
    const { images, ...drawn } = pipeline.augment(flat, seed, stream, numbers)
    return { made: images.keep(), ...drawn }
  })
  const own = firstOf(record, frames, record.length / Math.max(1, numbers.length))
  const drawn = recordColumns(own, recorded, keys, count)
  return { image: image.ndim === 5 ? byClip(made, count) : made, ...drawn }
}

/** Of rows of so many numbers, the first of each group. */
function firstOf(rows: Float64Array, group: number, width: number): Float64Array {
  if (group === 1) return rows
  const count = rows.length / Math.max(1, width) / group
  return Float64Array.from(
    { length: count * width },
    (_, i) => rows[Math.floor(i / width) * group * width + (i % width)] as number,
  )
}

const words = 2 ** 32 - 1
