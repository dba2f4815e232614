/**
 * Batches of a data set, made ahead of their use: read, decoded and augmented off the event loop, handed out in order.
 * What a batch holds is a function of (seed, epoch, position) alone, whatever the number of workers.
 */
import { SptError, argumentInvalid, reason, errorCode } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import type { BatchTransform } from './batch-transform.js'
import { disposeBatch } from './collate.js'
import { type Pipelines, makePipelines } from './pipeline.js'
import { type Dataset, type Sample } from './sample.js'
import { RandomSampler, type Sampler, SequentialSampler } from './samplers.js'
import type { MultiView, Transform } from './transform.js'

export interface DataLoaderOptions {
  readonly dataset: Dataset
  readonly batchSize?: number
  /** A new random order each epoch, by `RandomSampler(seed)`. */
  readonly shuffle?: boolean
  /** An order of your own, instead of `shuffle`. */
  readonly sampler?: Sampler
  /** Leaves out the last batch where it would be smaller. */
  readonly dropLast?: boolean
  /** Batches in the making at once; 0 makes each when it is asked for. It changes the speed and nothing else. */
  readonly numWorkers?: number
  /** Batches ready or in the making ahead of the one in use (at least `numWorkers`); no more are made before one is taken. */
  readonly prefetch?: number
  /** What is done to the images; by default they are only scaled to [0, 1]. */
  readonly transform?: Transform | MultiView
  /** What is done to each batch where it is used, after `transform` made it: the trainer does so. */
  readonly batchTransform?: readonly BatchTransform[]
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
  readonly transform: Transform | MultiView | undefined
  readonly batchTransform: readonly BatchTransform[]
  readonly #sampler: Sampler | undefined
  readonly #shuffle: boolean
  readonly #pipelines: Pipelines
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
      dropLast = false,
      numWorkers = 2,
      prefetch = 2,
      seed,
    } = options
    atLeast('batchSize', batchSize, 1)
    atLeast('numWorkers', numWorkers, 0)
    atLeast('prefetch', prefetch, 0)
    if (seed !== undefined) atLeast('seed', seed, 0)
    if (shuffle && sampler !== undefined) throw argumentInvalid('DataLoader', 'shuffle or a sampler', 'both')
    const samples = sampler?.length ?? dataset.length
    this.dataset = dataset
    this.batchSize = batchSize
    this.length = dropLast ? Math.floor(samples / batchSize) : Math.ceil(samples / batchSize)
    this.numWorkers = numWorkers
    this.prefetch = prefetch
    this.#sampler = sampler
    this.#shuffle = shuffle
    this.#seed = seed ?? 0
    this.#seedGiven = seed !== undefined
    this.transform = options.transform
    this.batchTransform = options.batchTransform ?? []
    this.#pipelines = makePipelines(options.transform)
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
    const order = this.#order(epoch)
    const ahead = this.numWorkers === 0 ? 0 : Math.max(this.prefetch, this.numWorkers)
    const inTurn = limitConcurrency(Math.max(1, this.numWorkers))
    const queue: Promise<Batch>[] = []
    let next = this.#delivered
    const fill = (wanted: number) => {
      for (; queue.length < wanted && next < this.length; next++) {
        const position = next
        const batch = inTurn(() => this.#make(order, position, epoch))
        // A failure is met when its turn comes; until then it is no unhandled rejection.
        batch.catch(() => undefined)
        queue.push(batch)
      }
    }
    try {
      for (let position = next; position < this.length; position++) {
        fill(Math.max(1, ahead))
        const batch = await (queue.shift() as Promise<Batch>)
        fill(ahead)
        if (this.#epoch === epoch) this.#delivered = position + 1
        yield batch
      }
    } finally {
      if (this.#epoch === epoch && this.#phase === 'running') this.#phase = 'ended'
      for (const made of await Promise.allSettled(queue)) if (made.status === 'fulfilled') disposeBatch(made.value)
      ended()
    }
  }

  #order(epoch: number): ArrayLike<number> {
    const { length } = this.dataset
    const sampler =
      this.#sampler ?? (this.#shuffle ? new RandomSampler(length, this.#seed) : new SequentialSampler(length))
    return sampler.indices(epoch)
  }

  async #make(order: ArrayLike<number>, position: number, epoch: number): Promise<Batch> {
    const start = position * this.batchSize
    const count = Math.min(this.batchSize, order.length - start)
    const samples = await Promise.all(Array.from({ length: count }, (_, i) => this.#read(order[start + i] as number)))
    return this.#pipelines.makeBatch(samples, { seed: this.#seed, epoch, start })
  }

  async #read(index: number): Promise<Sample> {
    try {
      return await this.dataset.get(index)
    } catch (cause) {
      const message = `${this.dataset.name}, sample ${index}: ${reason(cause)}`
      throw new SptError(errorCode(cause) ?? 'ERR_DATA', message, {
        cause,
        hint: cause instanceof SptError ? cause.hint : undefined,
      })
    }
  }
}

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
