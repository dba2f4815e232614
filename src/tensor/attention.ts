/** Scaled dot-product attention as PyTorch calls it. The blocks it is computed in, and its gradient, are native. */
import type { Generator, Tensor } from '../native.js'
import { defaultGenerator } from './random.js'

export interface AttentionOptions {
  /** Broadcast to [..., L, S]. bool: true where a query sees a key; float: added to the scores. */
  attnMask?: Tensor | null | undefined
  /** Query i sees keys 0 to i only; together with a mask, both hold. */
  isCausal?: boolean
  /** Factor of the scores; 1/√E by default. */
  scale?: number | null | undefined
  /** Probability, from 0 to 1, that a weight becomes 0; the others are divided by 1 − dropoutP. */
  dropoutP?: number
  /** What dropout draws from; the global generator of `manualSeed` by default. */
  generator?: Generator | undefined
}

/**
 * softmax(scale · query · keyᵀ + attnMask) · value (Vaswani et al. 2017, arXiv:1706.03762), for query [..., L, E], key
 * [..., S, E] and value [..., S, Ev]; leading axes broadcast. Gives [..., L, Ev]; a query that sees no key gets zeros.
 *
 * The matrix [L, S] never exists as a whole, unless the mask or a gradient itself needs a gradient.
 *
 * @throws ERR_SHAPE when shapes do not fit, ERR_DTYPE for an integer mask, ERR_ARGUMENT for a dropoutP outside 0 to 1.
 */
export function scaledDotProductAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  {
    attnMask = null,
    isCausal = false,
    scale = null,
    dropoutP = 0,
    generator = defaultGenerator,
  }: AttentionOptions = {},
): Tensor {
  return query.scaledDotProductAttention(key, value, { attnMask, isCausal, scale, dropoutP, generator })
}
