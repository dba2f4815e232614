/** In which order a loader reads its data set. An order is a function of the epoch, so that a stopped run finds its place again. */
import { argumentInvalid } from '../errors.js'
import { permutation } from './random-order.js'

/** Indices of one epoch. Any object with these two is one. */
export interface Sampler {
  /** Indices in an epoch. */
  readonly length: number
  /** The same indices whenever asked for the same epoch. */
  indices(epoch: number): ArrayLike<number>
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
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw argumentInvalid('RandomSampler seed', 'a whole number from 0', seed)
    this.length = length
    this.seed = seed
  }

  indices(epoch: number): Uint32Array {
    return permutation(this.length, this.seed, epoch)
  }
}
