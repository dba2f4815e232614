/** Questions about elements, answered by bool tensors: what is finite, and whether any or all are not 0. */
import type { Tensor } from '../native.js'

declare module '#binding' {
  interface Tensor {
    /** Where an element is not a number. */
    isnan(): Tensor
    /** Where an element is ∞ or −∞. */
    isinf(): Tensor
    /** Where an element is neither infinite nor NaN. */
    isfinite(): Tensor
    /** Where an element is 0 (or false). */
    logicalNot(): Tensor
    /** Where both are not 0. */
    logicalAnd(other: Tensor): Tensor
    /** Where at least one is not 0. */
    logicalOr(other: Tensor): Tensor
    /** Where exactly one is not 0. */
    logicalXor(other: Tensor): Tensor
    /** Whether any element over dimensions (default: all) is not 0; NaN is not 0. */
    any(dims?: number | number[], keepdim?: boolean): Tensor
    /** Whether every element over dimensions (default: all) is not 0; true of no elements. */
    all(dims?: number | number[], keepdim?: boolean): Tensor
  }
}

export const logic: ThisType<Tensor> & Record<string, unknown> = {
  isnan(): Tensor {
    return this.ne(this)
  },

  isinf(): Tensor {
    return this.abs().eq(Infinity)
  },

  isfinite(): Tensor {
    // ∞ − ∞ and NaN − NaN are NaN.
    return this.sub(this).eq(0)
  },

  logicalNot(): Tensor {
    return this.eq(0)
  },

  logicalAnd(other: Tensor): Tensor {
    return truths(this).mul(truths(other)).ne(0)
  },

  logicalOr(other: Tensor): Tensor {
    return truths(this).add(truths(other)).ne(0)
  },

  logicalXor(other: Tensor): Tensor {
    return truths(this).ne(truths(other))
  },

  any(dims?: number | number[], keepdim = false): Tensor {
    return truths(this).sum(dims, keepdim).gt(0)
  },

  all(dims?: number | number[], keepdim = false): Tensor {
    return this.eq(0).to('int64').sum(dims, keepdim).eq(0)
  },
}

/** 1 where an element is not 0, int64. */
function truths(x: Tensor): Tensor {
  return x.ne(0).to('int64')
}
