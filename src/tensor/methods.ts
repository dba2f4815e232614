/** Tensor methods written in TypeScript: in-place helpers, and compositions of native operations. */
import { argumentInvalid } from '../errors.js'
import { full, Tensor, zerosLike } from '../native.js'
import { indexing } from './indexing.js'
import { logic } from './logic.js'
import { orderStatistics } from './order-statistics.js'
import { noGrad } from './scope.js'

declare module '#binding' {
  interface Tensor {
    /** Survives the scopes it is in; returns itself. */
    keep(): this
    /** Overwrites every element, in place. */
    fill_(value: number): this
    /** Adds in place; outside the graph. */
    add_(other: Tensor | number): this
    /** Zeros of the same shape, type and order in memory. */
    zerosLike(): Tensor
    /** Pieces of `size` (the last may be shorter), or of the given sizes, along `dim`; views. */
    split(sizes: number | readonly number[], dim?: number): Tensor[]
    /** At most `chunks` pieces of equal size (the last may be shorter) along `dim`; views. */
    chunk(chunks: number, dim?: number): Tensor[]
  }
}

const plain: ThisType<Tensor> & Record<string, unknown> = {
  keep(): Tensor {
    this.keepAlive()
    return this
  },

  fill_(value: number): Tensor {
    // A number on its way to a GPU is part of the commands; one on its way back would be waited for.
    noGrad(() => this.copy_(full([], value, this.dtype, 'cpu')))
    return this
  },

  add_(other: Tensor | number): Tensor {
    noGrad(() => this.copy_(this.add(other)))
    return this
  },

  zerosLike(): Tensor {
    return zerosLike(this)
  },

  split(sizes: number | readonly number[], dim = 0): Tensor[] {
    const axis = dim < 0 ? dim + this.ndim : dim
    const length = this.shape[axis]
    if (length === undefined) throw argumentInvalid('split: dim', `an axis of ${this.ndim}`, dim)
    const list = typeof sizes === 'number' ? evenSizes(length, sizes) : sizes
    const total = list.reduce((sum, size) => sum + size, 0)
    if (total !== length) throw argumentInvalid('split: sizes', `a sum of ${length}`, list)
    return this.splitSizes([...list], axis)
  },

  chunk(chunks: number, dim = 0): Tensor[] {
    const length = this.shape[dim < 0 ? dim + this.ndim : dim] ?? 0
    if (!(Number.isInteger(chunks) && chunks > 0))
      throw argumentInvalid('chunk: chunks', 'a whole number above 0', chunks)
    return this.split(Math.max(1, Math.ceil(length / chunks)), dim)
  },
}

const methods = { ...plain, ...logic, ...orderStatistics, ...indexing }

/** The methods of Tensor that call others, and compute nothing themselves. */
export const compositions: readonly string[] = Object.keys(methods)

for (const [name, method] of Object.entries(methods)) {
  Object.defineProperty(Tensor.prototype, name, { value: method, configurable: true, writable: true })
}

function evenSizes(length: number, size: number): number[] {
  if (!(Number.isInteger(size) && size > 0)) throw argumentInvalid('split: size', 'a whole number above 0', size)
  const count = Math.max(1, Math.ceil(length / size))
  return Array.from({ length: count }, (_, index) => Math.min(size, length - index * size))
}
