/** Dropout of single values, whole channels and whole samples, to the same shape; nothing happens outside training. */
import { SptError } from '../errors.js'
import { dropout, dropout2d, dropPath, type Generator, type Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** Sets each value to 0 with probability `p` and divides the others by 1 − p; torch.nn.Dropout. */
export class Dropout extends Module {
  readonly p: number
  readonly generator: Generator | undefined

  constructor(p = 0.5, { generator }: { generator?: Generator } = {}) {
    super()
    this.p = checked(p)
    this.generator = generator
  }

  forward(input: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(input, this.p, { generator: this.generator }) : input
  }
}

/** Sets whole channels of [batch, channels, …] to 0 with probability `p`, the others are divided by 1 − p; torch.nn.Dropout2d. */
export class Dropout2d extends Module {
  readonly p: number
  readonly generator: Generator | undefined

  constructor(p = 0.5, { generator }: { generator?: Generator } = {}) {
    super()
    this.p = checked(p)
    this.generator = generator
  }

  forward(input: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout2d(input, this.p, { generator: this.generator }) : input
  }
}

/** timm's DropPath: sets a whole sample to 0 with probability `p` and divides the others by 1 − p (Huang et al. 2016, stochastic depth). */
export class DropPath extends Module {
  readonly p: number
  readonly generator: Generator | undefined

  constructor(p = 0, { generator }: { generator?: Generator } = {}) {
    super()
    this.p = checked(p)
    this.generator = generator
  }

  forward(input: Tensor): Tensor {
    return this.training && this.p > 0 ? dropPath(input, this.p, { generator: this.generator }) : input
  }
}

function checked(p: number): number {
  if (p >= 0 && p <= 1) return p
  throw new SptError('ERR_ARGUMENT', `a dropout probability is from 0 to 1, got ${p}`)
}
