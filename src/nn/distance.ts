/** Similarity and distance of pairs of vectors as layers of two inputs, under torch.nn's names. */
import type { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** a·b / (‖a‖‖b‖) along `dim`, which goes away; each norm is at least ε. */
export class CosineSimilarity extends Module {
  readonly dim: number
  readonly eps: number

  constructor({ dim = 1, eps = 1e-8 } = {}) {
    super()
    this.dim = dim
    this.eps = eps
  }

  forward(a: Tensor, b: Tensor): Tensor {
    return a.cosineSimilarity(b, this.dim, this.eps)
  }
}

/** ‖a − b + ε‖ₚ along the last axis, which goes away unless `keepdim`. */
export class PairwiseDistance extends Module {
  readonly p: number
  readonly eps: number
  readonly keepdim: boolean

  constructor({ p = 2, eps = 1e-6, keepdim = false } = {}) {
    super()
    this.p = p
    this.eps = eps
    this.keepdim = keepdim
  }

  forward(a: Tensor, b: Tensor): Tensor {
    return a.sub(b).add(this.eps).norm(this.p, -1, this.keepdim)
  }
}
