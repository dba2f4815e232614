/**
 * One batch out of the samples of a data set: read, decoded, augmented, collated; and what happens to samples that cannot be
 * read. Which samples, and when, is the loader's.
 */
import { SptError, errorCode, reason } from '../errors.js'
import type { BatchChange } from './collator.js'
import type { Batch } from './data-loader.js'
import { SampleFailure } from './native-pipeline.js'
import type { Pipelines } from './pipeline.js'
import { Philox } from './random-order.js'
import { type Dataset, type Sample, isEncoded } from './sample.js'

/** A sample that could not be read and was left out. */
export interface SkippedSample {
  /** Its place in the data set. */
  readonly index: number
  /** Of its file, where it has one. */
  readonly path?: string
  readonly message: string
  /** When it was met first. */
  readonly epoch: number
}

export interface BatchMakerOptions {
  readonly dataset: Dataset
  readonly pipelines: Pipelines
  readonly collate: BatchChange | undefined
  readonly onError: 'raise' | 'skip'
  readonly maxErrors: number
}

/** The samples of a batch. */
export interface BatchPlan {
  readonly indices: ArrayLike<number>
  /** Where an index stands several times: which of them each is. */
  readonly views?: ArrayLike<number> | undefined
  readonly passViewIdx: boolean
  /** Samples of the epoch before it. */
  readonly start: number
  /** All of the epoch, from which a sample is drawn in place of one that cannot be read. */
  readonly epochIndices: ArrayLike<number>
}

/** A sample, and where in the data set it was asked for: its own index may be that of a larger set. */
interface Read {
  readonly sample: Sample
  readonly place: number
}

// Beside those of orders and views: what takes a damaged sample's place shares no sequence with them.
const replacementDomain = 0xffff_fffd

/** Drawing is given up when so many in a row cannot be read. */
const mostDraws = 1000

/** Orders hold 32-bit numbers, so that a view and a sample share one; of views there are fewer than 256. */
const viewStride = 2 ** 32

export class BatchMaker {
  /** Samples left out so far, by their place. */
  readonly skipped = new Map<number, SkippedSample>()
  /** Told each sample when it is left out. */
  onSkip: ((skipped: SkippedSample) => void) | undefined
  readonly #options: BatchMakerOptions

  constructor(options: BatchMakerOptions) {
    this.#options = options
  }

  async make(plan: BatchPlan, seed: number, epoch: number): Promise<Batch> {
    const { pipelines, onError, collate: change } = this.#options
    const { indices, views } = plan
    const read = await Promise.all(Array.from(indices, (index) => this.#sample(index, plan, seed, epoch)))
    for (;;) {
      const samples = read.map(({ sample }, i) => withView(sample, views?.[i], plan.passViewIdx))
      // Each time an image is met it is augmented anew.
      const numbers = views && samples.map(({ index }, i) => index + viewStride * (views[i] ?? 0))
      try {
        const batch = await pipelines.makeBatch(samples, { seed, epoch, start: plan.start, numbers })
        return change === undefined ? batch : change(batch)
      } catch (error) {
        if (onError === 'raise' || !(error instanceof SampleFailure)) throw error
        const place = samples.findIndex((sample) => sample === error.sample)
        const failed = read[place]
        if (failed === undefined) throw error
        this.#skip({ index: failed.place, error, epoch, sample: failed.sample })
        read[place] = await this.#sample(indices[place] as number, plan, seed, epoch)
      }
    }
  }

  /** The sample at `index`, or where that is left out, the first that can be read of those drawn by (seed, index, epoch). */
  async #sample(index: number, plan: BatchPlan, seed: number, epoch: number): Promise<Read> {
    let place = index
    let random: Philox | undefined
    for (let draws = 0; draws < mostDraws; draws++) {
      if (!this.skipped.has(place)) {
        try {
          return { sample: await this.#read(place), place }
        } catch (error) {
          if (this.#options.onError === 'raise') throw error
          this.#skip({ index: place, error, epoch })
        }
      }
      random ??= Philox.derived(seed, index, epoch, replacementDomain)
      place = plan.epochIndices[random.below(plan.epochIndices.length)] as number
    }
    throw this.#tooMany('nearly all')
  }

  async #read(index: number): Promise<Sample> {
    const { dataset } = this.#options
    try {
      return await dataset.get(index)
    } catch (cause) {
      const message = `${dataset.name ?? 'data set'}, sample ${index}: ${reason(cause)}`
      throw new SptError(errorCode(cause) ?? 'ERR_DATA', message, {
        cause,
        hint: cause instanceof SptError ? cause.hint : undefined,
      })
    }
  }

  #skip({ index, error, epoch, sample }: { index: number; error: unknown; epoch: number; sample?: Sample }): void {
    if (errorCode(error) !== 'ERR_DATA') throw error
    if (this.skipped.has(index)) return
    const path = sample !== undefined && isEncoded(sample.image) ? sample.image.path : undefined
    const skipped = { index, ...(path !== undefined && { path }), message: reason(error), epoch }
    this.skipped.set(index, skipped)
    this.onSkip?.(skipped)
    if (this.skipped.size > this.#options.maxErrors) throw this.#tooMany(`more than ${this.#options.maxErrors}`)
  }

  #tooMany(count: string): SptError {
    const first = [...this.skipped.values()].slice(0, 3).map(({ message }) => message)
    return new SptError('ERR_DATA', `${count} samples cannot be read, among them: ${first.join('; ')}`, {
      hint: 'Mend or remove the files, or raise max_errors.',
    })
  }
}

function withView(sample: Sample, view: number | undefined, pass: boolean): Sample {
  return pass && view !== undefined ? { ...sample, viewIdx: view } : sample
}
