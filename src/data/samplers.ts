/** In which order a loader reads its data set. An order is a function of the epoch, so that a stopped run finds its place again. */
import { SptError, argumentInvalid } from '../errors.js'
import { Philox, permutation } from './random-order.js'
import type { Dataset } from './sample.js'

/** Indices of one epoch. Any object with these two is one. */
export interface Sampler {
  /** Indices in an epoch. */
  readonly length: number
  /** The same indices whenever asked for the same epoch. */
  indices(epoch: number): ArrayLike<number>
  /** Where an index stands several times: which of them each is, from 0; each is augmented with random numbers of its own. */
  views?(epoch: number): ArrayLike<number>
  /** Whether samples are given that number, as `viewIdx`. */
  readonly passViewIdx?: boolean
}

/** Whole batches of indices of one epoch, instead of a sampler and a batch size. Any object with these two is one. */
export interface BatchSampler {
  /** Batches in an epoch. */
  readonly length: number
  /** The same batches whenever asked for the same epoch. */
  batches(epoch: number): readonly ArrayLike<number>[]
}

export function isBatchSampler(sampler: Sampler | BatchSampler): sampler is BatchSampler {
  return 'batches' in sampler
}

/** The class number of every sample, read from the samples where the data set does not list them. ERR_DATA where one has none. */
export async function classNumbers(dataset: Dataset): Promise<ArrayLike<number>> {
  if (dataset.labels !== undefined) return dataset.labels
  const labels = new Uint32Array(dataset.length)
  for (let index = 0; index < labels.length; index++) {
    const { label } = await dataset.get(index)
    if (label === undefined) throw new SptError('ERR_DATA', `${dataset.name}: sample ${index} has no label`)
    labels[index] = label
  }
  return labels
}

/** 0, 1, 2 ... in every epoch. */
export class SequentialSampler implements Sampler {
  readonly length: number

  constructor(length: number) {
    this.length = length
  }

  indices(): Uint32Array {
    return Uint32Array.from({ length: this.length }, (_, i) => i)
  }
}

/** Every index once, in an order of its own each epoch: a function of (seed, epoch) alone. */
export class RandomSampler implements Sampler {
  readonly length: number
  readonly seed: number

  constructor(length: number, seed = 0) {
    checkSeed('RandomSampler', seed)
    this.length = length
    this.seed = seed
  }

  indices(epoch: number): Uint32Array {
    return permutation(this.length, this.seed, epoch)
  }
}

export interface RepeatedRandomSamplerOptions {
  /** How often each index stands in a row. */
  readonly nViews?: number
  readonly seed?: number
  /** Gives samples the number of their view, as `viewIdx`. */
  readonly passViewIdx?: boolean
  /** Processes that share an epoch, and which of them this is: each gets a part of its own, of the same length. */
  readonly worldSize?: number
  readonly rank?: number
}

/**
 * stable-pretraining's RepeatedRandomSampler: a random order in which each index stands `nViews` times in a row, so that the
 * views of an image meet in one batch (of a size that nViews divides).
 */
export class RepeatedRandomSampler implements Sampler {
  readonly length: number
  readonly nViews: number
  readonly passViewIdx: boolean
  readonly #images: number
  readonly #seed: number
  readonly #perRank: number
  readonly #rank: number

  /** `source`: a data set or its length. */
  constructor(source: number | { readonly length: number }, options: RepeatedRandomSamplerOptions = {}) {
    const { nViews = 1, seed = 0, passViewIdx = false, worldSize = 1, rank = 0 } = options
    checkSeed('RepeatedRandomSampler', seed)
    if (!Number.isSafeInteger(nViews) || nViews < 1)
      throw argumentInvalid('RepeatedRandomSampler nViews', 'a whole number from 1', nViews)
    if (!(Number.isSafeInteger(rank) && rank >= 0 && rank < worldSize))
      throw argumentInvalid('RepeatedRandomSampler rank', `a whole number below the world size ${worldSize}`, rank)
    this.#images = typeof source === 'number' ? source : source.length
    this.nViews = nViews
    this.passViewIdx = passViewIdx
    this.#seed = seed
    this.#rank = rank
    // What does not divide is left out, so that all processes do equally many steps.
    const left = this.#images % worldSize
    this.#perRank = left === 0 ? this.#images / worldSize : Math.ceil((this.#images - worldSize) / worldSize)
    this.length = this.#perRank * nViews
  }

  indices(epoch: number): Uint32Array {
    const order = permutation(this.#images, this.#seed, epoch).subarray(this.#rank * this.#perRank)
    return Uint32Array.from({ length: this.length }, (_, i) => order[Math.floor(i / this.nViews)] as number)
  }

  views(): Uint32Array {
    return Uint32Array.from({ length: this.length }, (_, i) => i % this.nViews)
  }
}

/**
 * stable-pretraining's SupervisedBatchSampler: each batch holds `nViews` different samples of each of batchSize / nViews
 * classes, drawn as often as they occur and possibly twice. ERR_DATA where a class has fewer than nViews samples.
 */
export class SupervisedBatchSampler implements BatchSampler {
  readonly length: number
  readonly #groups: number
  readonly #nViews: number
  readonly #seed: number
  readonly #labels: ArrayLike<number>
  readonly #members: ReadonlyMap<number, Uint32Array>

  constructor(batchSize: number, nViews: number, labels: ArrayLike<number>, seed = 0) {
    checkSeed('SupervisedBatchSampler', seed)
    if (!Number.isSafeInteger(nViews) || nViews < 1 || batchSize < nViews || batchSize % nViews !== 0)
      throw argumentInvalid('SupervisedBatchSampler batchSize', `a multiple of nViews (${nViews})`, batchSize)
    const members = new Map<number, number[]>()
    for (let index = 0; index < labels.length; index++) {
      const label = labels[index] as number
      const found = members.get(label)
      if (found === undefined) members.set(label, [index])
      else found.push(index)
    }
    const [small] = [...members].filter(([, found]) => found.length < nViews)
    if (small !== undefined) {
      const message = `SupervisedBatchSampler: class ${small[0]} has ${small[1].length} samples, ${nViews} are needed`
      throw new SptError('ERR_DATA', message, { hint: 'Leave the class out, or take fewer views.' })
    }
    this.#groups = batchSize / nViews
    this.#nViews = nViews
    this.#seed = seed
    this.#labels = labels
    this.#members = new Map([...members].map(([label, found]) => [label, Uint32Array.from(found)]))
    this.length = Math.floor(Math.floor(labels.length / batchSize) / nViews)
  }

  batches(epoch: number): Uint32Array[] {
    const random = Philox.derived(this.#seed, 0, epoch, supervisedDomain)
    return Array.from({ length: this.length }, () => {
      const batch = Array.from({ length: this.#groups }, () => {
        // A sample drawn evenly has a class drawn as often as it occurs.
        const label = this.#labels[random.below(this.#labels.length)] as number
        const found = this.#members.get(label) as Uint32Array
        const chosen = new Set<number>()
        while (chosen.size < this.#nViews) chosen.add(found[random.below(found.length)] as number)
        return [...chosen]
      })
      return Uint32Array.from(batch.flat())
    })
  }
}

/** Every index once in a random order, cut into batches; the last may be smaller. */
export class RandomBatchSampler implements BatchSampler {
  readonly length: number
  readonly #size: number
  readonly #samples: number
  readonly #seed: number

  /** `source`: a data set or its length. */
  constructor(batchSize: number, source: number | { readonly length: number }, seed = 0) {
    checkSeed('RandomBatchSampler', seed)
    if (!Number.isSafeInteger(batchSize) || batchSize < 1)
      throw argumentInvalid('RandomBatchSampler batchSize', 'a whole number from 1', batchSize)
    this.#size = batchSize
    this.#samples = typeof source === 'number' ? source : source.length
    this.#seed = seed
    this.length = Math.ceil(this.#samples / batchSize)
  }

  batches(epoch: number): Uint32Array[] {
    const order = permutation(this.#samples, this.#seed, epoch)
    return Array.from({ length: this.length }, (_, i) => order.subarray(i * this.#size, (i + 1) * this.#size))
  }
}

// Beside that of orders: batches drawn by class never share a sequence with them.
const supervisedDomain = 0xffff_fffe

function checkSeed(sampler: string, seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0) throw argumentInvalid(`${sampler} seed`, 'a whole number from 0', seed)
}
