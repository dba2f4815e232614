/** Layers that only change the shape: Flatten and Unflatten. */
import type { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** Joins the axes from `startDim` to `endDim` into one. */
export class Flatten extends Module {
  readonly startDim: number
  readonly endDim: number

  constructor({ startDim = 1, endDim = -1 } = {}) {
    super()
    this.startDim = startDim
    this.endDim = endDim
  }

  forward(input: Tensor): Tensor {
    return input.flatten(this.startDim, this.endDim)
  }
}

/** Splits one axis into several. */
export class Unflatten extends Module {
  readonly dim: number
  readonly sizes: number[]

  constructor(dim: number, sizes: number[]) {
    super()
    this.dim = dim
    this.sizes = sizes
  }

  forward(input: Tensor): Tensor {
    const axis = this.dim < 0 ? this.dim + input.ndim : this.dim
    return input.reshape([...input.shape.slice(0, axis), ...this.sizes, ...input.shape.slice(axis + 1)])
  }
}
