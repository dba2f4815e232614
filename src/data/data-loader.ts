/**
 * Batches of a data set, made ahead of their use: read, decoded and augmented off the event loop, handed out in order.
 * What a batch holds is a function of (seed, epoch, position) alone, whatever the number of workers.
 */
import { SptError, argumentInvalid } from '../errors.js'
import { Tensor } from '../tensor/index.js'
import { BatchMaker, type BatchPlan, type SkippedSample } from './batch-maker.js'
import type { BatchTransform } from './batch-transform.js'
import type { BatchChange } from './collator.js'
import { disposeBatch } from './collate.js'
import { makePipelines } from './pipeline.js'
import type { Dataset } from './sample.js'
import { type BatchSampler, RandomSampler, type Sampler, SequentialSampler } from './samplers.js'
import type { MultiView, Transform } from './transform.js'

export interface DataLoaderOptions {
  readonly dataset: Dataset
  readonly batchSize?: number
  /** A new random order each epoch: the data set's own where it has one, else by `RandomSampler(seed)`. */
  readonly shuffle?: boolean
  /** An order of your own, instead of `shuffle`. */
  readonly sampler?: Sampler
  /** Whole batches of your own, instead of `batchSize`, `shuffle`, `sampler` and `dropLast`. */
  readonly batchSampler?: BatchSampler
  /** Leaves out the last batch where it would be smaller. */
  readonly dropLast?: boolean
  /** Batches in the making at once; 0 makes each when it is asked for. It changes the speed and nothing else. */
  readonly numWorkers?: number
  /** Batches ready or in the making ahead of the one in use (at least `numWorkers`); no more are made before one is taken. */
  readonly prefetch?: number
  /** Bytes of tensors that batches ahead may take; one batch is made whatever it takes. Default 1 GiB. */
  readonly prefetchBytes?: number
  /** What is done to the images; by default they are only scaled to [0, 1]. */
  readonly transform?: Transform | MultiView
  /** What is done to each batch where it is used, after `transform` made it: the trainer does so. */
  readonly batchTransform?: readonly BatchTransform[]
  /** Changes each batch before it is handed out; see `Collator`. */
  readonly collate?: BatchChange
  /**
   * What becomes of a sample that cannot be read or decoded. `raise` ends the run; `skip` notes it in `skipped` and takes
   * another in its place, drawn by (seed, index, epoch), so that batches keep their size.
   */
  readonly onError?: 'raise' | 'skip'
  /** Different samples that may be skipped; one more is an error. Default 100. */
  readonly maxErrors?: number
  /** Decides order and augmentation, 0 unless `setSeed` gives another. */
  readonly seed?: number
}

/** One image tensor [batch, channel, height, width], float32, with the labels of its images. */
export interface View {
  readonly image: Tensor
  /** int64 [batch]. */
  readonly label?: Tensor
  /** What transforms drew for each image, under their class names: [batch, …]. */
  readonly [key: string]: unknown
}

/** `image` (one view) or `views` (several), and what the samples say. Its tensors belong to whoever took it: see `disposeBatch`. */
export interface Batch {
  readonly image?: Tensor
  readonly views?: readonly View[]
  /** Class numbers, int64 [batch]. */
  readonly label?: Tensor
  /** Places in the data set, int64 [batch]. */
  readonly index: Tensor
  readonly [key: string]: unknown
}

/** A place in the data: `batch` batches of `epoch` have been handed out. */
export interface LoaderState {
  readonly epoch: number
  readonly batch: number
}

/** What the trainer needs of a source of batches; `DataLoader` is one. */
export interface BatchSource extends AsyncIterable<Batch> {
  /** What the trainer does to each batch, with random numbers by `seed`. */
  readonly batchTransform?: readonly BatchTransform[] | undefined
  readonly seed?: number
  /** Batches in an epoch. */
  readonly length: number
  setEpoch(epoch: number): void
  state(): LoaderState
  load(state: LoaderState): void
}

export class DataLoader implements BatchSource {
  readonly dataset: Dataset
  readonly batchSize: number
  readonly length: number
  readonly numWorkers: number
  readonly prefetch: number
  readonly prefetchBytes: number
  readonly transform: Transform | MultiView | undefined
  readonly batchTransform: readonly BatchTransform[]
  readonly #sampler: Sampler | undefined
  readonly #batchSampler: BatchSampler | undefined
  readonly #shuffle: boolean
  readonly #maker: BatchMaker
  /** Of the largest batch so far. */
  #batchBytes = 0
  readonly #iterations = new Set<AsyncGenerator<Batch, void, undefined>>()
  #seed: number
  readonly #seedGiven: boolean
  #epoch = 0
  #delivered = 0
  // 'ready': the next iteration begins at #delivered of #epoch; otherwise it begins the epoch after.
  #phase: 'ready' | 'running' | 'ended' = 'ready'

  constructor(options: DataLoaderOptions) {
    const {
      dataset,
      batchSize = 1,
      shuffle = false,
      sampler,
      batchSampler,
      dropLast = false,
      numWorkers = 2,
      prefetch = 2,
      prefetchBytes = 2 ** 30,
      onError = 'raise',
      maxErrors = 100,
      seed,
    } = options
    atLeast('batchSize', batchSize, 1)
    atLeast('numWorkers', numWorkers, 0)
    atLeast('prefetch', prefetch, 0)
    atLeast('prefetchBytes', prefetchBytes, 0)
    atLeast('maxErrors', maxErrors, 0)
    if (onError !== 'raise' && onError !== 'skip') throw argumentInvalid('DataLoader onError', 'raise or skip', onError)
    if (seed !== undefined) atLeast('seed', seed, 0)
    if (shuffle && sampler !== undefined) throw argumentInvalid('DataLoader', 'shuffle or a sampler', 'both')
    if (batchSampler !== undefined && (shuffle || dropLast || sampler !== undefined || options.batchSize !== undefined))
      throw argumentInvalid('DataLoader', 'batchSampler without batchSize, shuffle, sampler and dropLast', 'both')
    if (!Number.isSafeInteger(dataset.length) || dataset.length < 0 || typeof dataset.get !== 'function')
      throw argumentInvalid('DataLoader dataset', 'an object with length and get(index)', dataset)
    const samples = sampler?.length ?? dataset.length
    this.dataset = dataset
    this.batchSize = batchSize
    this.length = batchSampler?.length ?? (dropLast ? Math.floor(samples / batchSize) : Math.ceil(samples / batchSize))
    this.numWorkers = numWorkers
    this.prefetch = prefetch
    this.prefetchBytes = prefetchBytes
    this.#batchSampler = batchSampler
    this.#sampler = sampler
    this.#shuffle = shuffle
    this.#seed = seed ?? 0
    this.#seedGiven = seed !== undefined
    this.transform = options.transform
    this.batchTransform = options.batchTransform ?? []
    const pipelines = makePipelines(options.transform)
    this.#maker = new BatchMaker({ dataset, pipelines, collate: options.collate, onError, maxErrors })
  }

  /** The samples that could not be read so far, where `onError` is `skip`. */
  get skipped(): readonly SkippedSample[] {
    return [...this.#maker.skipped.values()]
  }

  /** `listener` is told each sample when it is skipped first; there is one listener. */
  onSkip(listener: (skipped: SkippedSample) => void): void {
    this.#maker.onSkip = listener
  }

  get seed(): number {
    return this.#seed
  }

  /** The seed of the run, for a loader that was given none. */
  setSeed(seed: number): void {
    atLeast('seed', seed, 0)
    if (!this.#seedGiven) this.#seed = seed
  }

  /** The next iteration is epoch `epoch`; from its start, unless `load` has just set a place in that epoch. */
  setEpoch(epoch: number): void {
    atLeast('epoch', epoch, 0)
    if (this.#phase === 'ready' && this.#epoch === epoch) return
    this.load({ epoch, batch: 0 })
  }

  /** Where the iteration stands: the batches handed out, not those made ahead. */
  state(): LoaderState {
    return { epoch: this.#epoch, batch: this.#delivered }
  }

  /** The next iteration goes on at this place, with the batches that a loader stopped there would have given. */
  load({ epoch, batch }: LoaderState): void {
    atLeast('epoch', epoch, 0)
    if (!Number.isInteger(batch) || batch < 0 || batch > this.length) {
      throw new SptError(
        'ERR_CHECKPOINT',
        `the data stopped at batch ${batch} of an epoch, this loader has ${this.length} batches`,
        {
          hint: 'Resume with the data set and the batch size that the run was started with.',
        },
      )
    }
    this.#epoch = epoch
    this.#delivered = batch
    this.#phase = 'ready'
  }

  /** One epoch, or the rest of one after `load`. Leaving it early frees what was made ahead. */
  [Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const iteration = this.#iterate(() => this.#iterations.delete(iteration))
    this.#iterations.add(iteration)
    return iteration
  }

  /** Stops iterations under way and frees what they made ahead. */
  async dispose(): Promise<void> {
    await Promise.all(Array.from(this.#iterations, (iteration) => iteration.return()))
    this.#iterations.clear()
  }

  async *#iterate(ended: () => void): AsyncGenerator<Batch, void, undefined> {
    if (this.#phase !== 'ready') this.load({ epoch: this.#epoch + 1, batch: 0 })
    this.#phase = 'running'
    const epoch = this.#epoch
    const plan = this.#plan(epoch)
    const ahead = this.numWorkers === 0 ? 0 : Math.max(this.prefetch, this.numWorkers)
    const inTurn = limitConcurrency(Math.max(1, this.numWorkers))
    const queue: Promise<Batch>[] = []
    let next = this.#delivered
    const fill = (wanted: number) => {
      for (; queue.length < wanted && next < this.length; next++) {
        const position = next
        const batch = inTurn(() => this.#make(plan(position), epoch))
        // A failure is met when its turn comes; until then it is no unhandled rejection.
        batch.catch(() => undefined)
        queue.push(batch)
      }
    }
    try {
      for (let position = next; position < this.length; position++) {
        fill(Math.max(1, this.#affordable(ahead)))
        const batch = await (queue.shift() as Promise<Batch>)
        fill(this.#affordable(ahead))
        if (this.#epoch === epoch) this.#delivered = position + 1
        yield batch
      }
    } finally {
      if (this.#epoch === epoch && this.#phase === 'running') this.#phase = 'ended'
      for (const made of await Promise.allSettled(queue)) if (made.status === 'fulfilled') disposeBatch(made.value)
      ended()
    }
  }

  /** Batches ahead that `prefetchBytes` has room for, `ahead` at most. */
  #affordable(ahead: number): number {
    return this.#batchBytes === 0 ? ahead : Math.min(ahead, Math.floor(this.prefetchBytes / this.#batchBytes))
  }

  /** What each batch of an epoch holds. */
  #plan(epoch: number): (position: number) => BatchPlan {
    const { batchSize } = this
    if (this.#batchSampler !== undefined) {
      const batches = this.#batchSampler.batches(epoch)
      const epochIndices = Uint32Array.from(batches.flatMap((batch) => Array.from(batch)))
      const starts = batches.map(() => 0)
      for (let i = 1; i < starts.length; i++) starts[i] = (starts[i - 1] ?? 0) + (batches[i - 1]?.length ?? 0)
      return (position) => ({
        indices: batches[position] ?? [],
        passViewIdx: false,
        start: starts[position] ?? 0,
        epochIndices,
      })
    }
    const order = this.#order(epoch)
    const views = this.#sampler?.views?.(epoch)
    const passViewIdx = this.#sampler?.passViewIdx ?? false
    return (position) => ({
      indices: slice(order, position * batchSize, batchSize),
      views: views && slice(views, position * batchSize, batchSize),
      passViewIdx,
      start: position * batchSize,
      epochIndices: order,
    })
  }

  #order(epoch: number): ArrayLike<number> {
    const { dataset } = this
    if (this.#sampler !== undefined) return this.#sampler.indices(epoch)
    if (!this.#shuffle) return new SequentialSampler(dataset.length).indices()
    return dataset.shuffled?.(this.#seed, epoch) ?? new RandomSampler(dataset.length, this.#seed).indices(epoch)
  }

  async #make(plan: BatchPlan, epoch: number): Promise<Batch> {
    const batch = await this.#maker.make(plan, this.#seed, epoch)
    this.#batchBytes = Math.max(this.#batchBytes, bytesIn(batch))
    return batch
  }
}

function slice(values: ArrayLike<number>, start: number, count: number): number[] {
  const end = Math.min(values.length, start + count)
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => values[start + i] as number)
}

/** Bytes of the tensors of a batch, however deep. */
function bytesIn(value: unknown): number {
  if (value instanceof Tensor) return value.numel * (bytesOfType[value.dtype] ?? 8)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 0
  return Object.values(value).reduce((sum: number, item) => sum + bytesIn(item), 0)
}

const bytesOfType: Readonly<Record<string, number>> = { float32: 4, uint8: 1, bool: 1 }

/** Lets at most `limit` of the started tasks run at once, in the order they were started. */
function limitConcurrency(limit: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async (task) => {
    if (running >= limit) await new Promise<void>((resume) => waiting.push(resume))
    else running++
    try {
      return await task()
    } finally {
      const resume = waiting.shift()
      if (resume === undefined) running--
      else resume()
    }
  }
}

function atLeast(option: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw argumentInvalid(`DataLoader ${option}`, `a whole number from ${least}`, value)
}
