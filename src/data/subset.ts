/** Parts and sums of data sets: subsets, seeded splits, concatenation. No sample is read or copied by making one. */
import { SptError, argumentInvalid } from '../errors.js'
import { checkIndex } from './in-memory.js'
import { permutation } from './random-order.js'
import type { Dataset, Sample } from './sample.js'

/** Some samples of a data set, in the order of `indices`; a sample's `index` is its place among them. */
export class Subset implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly dataset: Dataset
  readonly indices: ArrayLike<number>

  constructor(dataset: Dataset, indices: ArrayLike<number>) {
    for (let i = 0; i < indices.length; i++) checkIndex(dataset, indices[i] as number)
    this.name = dataset.name
    this.length = indices.length
    if (dataset.classes !== undefined) this.classes = dataset.classes
    this.dataset = dataset
    this.indices = indices
  }

  get labels(): ArrayLike<number> | undefined {
    const { labels } = this.dataset
    return labels && Array.from(this.indices, (index) => labels[index] as number)
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    return { ...(await this.dataset.get(this.indices[index] as number)), index }
  }

  /** The order of the whole set where that has one of its own, without the samples that are not here. */
  shuffled(seed: number, epoch: number): ArrayLike<number> {
    const whole = this.dataset.shuffled?.(seed, epoch)
    if (whole === undefined) return permutation(this.length, seed, epoch)
    // The places of an index as a chain: the last of them, and the one before each; 0 ends it, so that all are one higher.
    const last = new Uint32Array(this.dataset.length)
    const before = new Uint32Array(this.length)
    for (let place = 0; place < this.length; place++) {
      const index = this.indices[place] as number
      before[place] = last[index] as number
      last[index] = place + 1
    }
    const order = new Uint32Array(this.length)
    let count = 0
    for (let i = 0; i < whole.length; i++)
      for (let next = last[whole[i] as number] as number; next > 0; next = before[next - 1] as number)
        order[count++] = next - 1
    return order
  }
}

/** Data sets one after another; a sample's `index` is its place in the sum. */
export class Concat implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly datasets: readonly Dataset[]

  /** Labels must mean the same: ERR_DATA where two of them name their classes differently. */
  constructor(datasets: readonly Dataset[]) {
    const named = datasets.filter((dataset) => dataset.classes !== undefined)
    const [first] = named
    for (const other of named) {
      if (first !== undefined && other.classes?.join('\n') !== first.classes?.join('\n')) {
        const message = `cannot join ${first.name} and ${other.name}: their classes differ (${first.classes?.slice(0, 3).join(', ')}... and ${other.classes?.slice(0, 3).join(', ')}...)`
        throw new SptError('ERR_DATA', message)
      }
    }
    this.name = datasets.map((dataset) => dataset.name).join('+')
    this.length = datasets.reduce((sum, dataset) => sum + dataset.length, 0)
    if (first?.classes !== undefined) this.classes = first.classes
    this.datasets = datasets
  }

  get labels(): ArrayLike<number> | undefined {
    const all = this.datasets.map(({ labels }) => labels)
    return all.some((labels) => labels === undefined) ? undefined : all.flatMap((labels) => Array.from(labels ?? []))
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    let rest = index
    for (const dataset of this.datasets) {
      if (rest < dataset.length) return { ...(await dataset.get(rest)), index }
      rest -= dataset.length
    }
    throw argumentInvalid(`${this.name}.get`, `an index in 0..${this.length - 1}`, index)
  }
}

/**
 * Splits a data set at random, without overlap, as torch.utils.data.random_split: `parts` are lengths that sum to the data
 * set's, or fractions that sum to 1, whose rounding remainder goes to the first parts, one sample each.
 */
export function randomSplit(dataset: Dataset, parts: readonly number[], seed = 0): Subset[] {
  const lengths = splitLengths(dataset.length, parts)
  const order = permutation(dataset.length, seed)
  let at = 0
  return lengths.map((length) => new Subset(dataset, order.subarray(at, (at += length))))
}

function splitLengths(total: number, parts: readonly number[]): number[] {
  const sum = parts.reduce((running, part) => running + part, 0)
  if (parts.length > 0 && parts.every((part) => part >= 0)) {
    if (parts.every(Number.isInteger) && sum === total) return [...parts]
    // A sum of fractions such as 0.7 + 0.2 + 0.1 may miss 1 by rounding.
    if (Math.abs(sum - 1) < 1e-9) {
      const lengths = parts.map((part) => Math.floor(part * total))
      const left = total - lengths.reduce((running, length) => running + length, 0)
      return lengths.map((length, i) => length + (i < left ? 1 : 0))
    }
  }
  throw argumentInvalid('randomSplit parts', `lengths that sum to ${total}, or fractions that sum to 1`, parts)
}
