/** Multi-head attention under timm's names: of tokens to themselves, and to those of a context. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { cat, scaledDotProductAttention, type Tensor } from '../tensor/index.js'
import { Dropout } from './dropout.js'
import { Identity, Linear } from './linear.js'
import { type Cost, type Layer, Module } from './module.js'
import { RotaryPositionEmbedding1D, RotaryPositionEmbedding2D, type RotaryPositionEmbedding } from './rotary.js'

export interface AttentionLayerOptions {
  numHeads?: number
  qkvBias?: boolean
  projBias?: boolean
  /** A norm of each head's queries and keys, before they are rotated; null: none. */
  qkNorm?: ((headDim: number) => Layer) | null
  /** Probability that an attention weight is dropped. */
  attnDrop?: number
  /** Probability of dropout after the output projection. */
  projDrop?: number
  /** Rotates queries and keys by their position: along the sequence, or on the grid. */
  useRope?: '1d' | '2d' | null
}

export interface AttentionCall {
  /** bool, true where a query sees a key; or float, added to the scores. [N, N], [batch, N, N] or [batch, heads, N, N]. */
  attnMask?: Tensor | null | undefined
  /** Token i sees tokens 0 to i only. */
  isCausal?: boolean | undefined
  /** [rows, columns] of the patches, which are the last tokens; for `useRope: '2d'`. A square by default. */
  gridSize?: readonly [number, number] | undefined
}

/** Self-attention, [batch, tokens, dim] to the same shape; rows of the `qkv` weight are queries, keys, values, head by head. */
export class Attention extends Module {
  readonly numHeads: number
  readonly headDim: number
  qkv: Linear
  qNorm: Layer
  kNorm: Layer
  attnDrop: Dropout
  proj: Linear
  projDrop: Dropout
  rope: RotaryPositionEmbedding | null

  constructor(dim: number, options: AttentionLayerOptions = {}) {
    super()
    const {
      numHeads = 8,
      qkvBias = true,
      projBias = true,
      qkNorm,
      attnDrop = 0,
      projDrop = 0,
      useRope = null,
    } = options
    this.numHeads = numHeads
    this.headDim = headWidth(dim, numHeads)
    this.qkv = new Linear(dim, 3 * dim, { bias: qkvBias })
    this.qNorm = qkNorm?.(this.headDim) ?? new Identity()
    this.kNorm = qkNorm?.(this.headDim) ?? new Identity()
    this.attnDrop = new Dropout(attnDrop)
    this.proj = new Linear(dim, dim, { bias: projBias })
    this.projDrop = new Dropout(projDrop)
    this.rope = rotary(useRope, this.headDim)
  }

  forward(x: Tensor, { attnMask, isCausal = false, gridSize }: AttentionCall = {}): Tensor {
    const { q, k, values } = this.#project(x, gridSize)
    const dropoutP = this.training ? this.attnDrop.p : 0
    const { generator } = this.attnDrop
    const out = scaledDotProductAttention(q, k, values, { attnMask: perHead(attnMask), isCausal, dropoutP, generator })
    return this.projDrop.forward(this.proj.forward(outOfHeads(out)))
  }

  /**
   * How much each token looks at each other, [batch, heads, queries, tokens], rows summing to 1: for pictures. The forward
   * never makes this matrix. Without masks and dropout.
   *
   * @param x what the forward gets, [batch, tokens, dim]
   * @param queries the first so many tokens only; all by default
   */
  weights(x: Tensor, { queries, gridSize }: { queries?: number } & Pick<AttentionCall, 'gridSize'> = {}): Tensor {
    const { q, k } = this.#project(x, gridSize)
    const asked = queries === undefined ? q : q.narrow(2, 0, queries)
    return asked
      .matmul(k.transpose(-2, -1))
      .mul(this.headDim ** -0.5)
      .softmax(-1)
  }

  #project(x: Tensor, gridSize: AttentionCall['gridSize']): { q: Tensor; k: Tensor; values: Tensor } {
    const [queries, keys, values] = this.qkv
      .forward(x)
      .split(this.numHeads * this.headDim, -1)
      .map((part) => intoHeads(part, this.numHeads)) as [Tensor, Tensor, Tensor]
    const q = rotate(this.rope, this.qNorm.forward(queries), gridSize)
    const k = rotate(this.rope, this.kNorm.forward(keys), gridSize)
    return { q, k, values }
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return attentionCost(output, output)
  }
}

/** Tokens [batch, tokens, dim] look at a context [batch, others, contextDim]; gives [batch, tokens, dim]. */
export class CrossAttention extends Module {
  readonly numHeads: number
  readonly headDim: number
  q: Linear
  kv: Linear
  qNorm: Layer
  kNorm: Layer
  attnDrop: Dropout
  proj: Linear
  projDrop: Dropout

  constructor(dim: number, options: Omit<AttentionLayerOptions, 'useRope'> & { contextDim?: number } = {}) {
    super()
    const {
      contextDim = dim,
      numHeads = 8,
      qkvBias = true,
      projBias = true,
      qkNorm,
      attnDrop = 0,
      projDrop = 0,
    } = options
    this.numHeads = numHeads
    this.headDim = headWidth(dim, numHeads)
    this.q = new Linear(dim, dim, { bias: qkvBias })
    this.kv = new Linear(contextDim, 2 * dim, { bias: qkvBias })
    this.qNorm = qkNorm?.(this.headDim) ?? new Identity()
    this.kNorm = qkNorm?.(this.headDim) ?? new Identity()
    this.attnDrop = new Dropout(attnDrop)
    this.proj = new Linear(dim, dim, { bias: projBias })
    this.projDrop = new Dropout(projDrop)
  }

  /** `attnMask`: [tokens, others], with the batch, or with batch and heads before it. */
  forward(x: Tensor, context: Tensor, { attnMask }: Pick<AttentionCall, 'attnMask'> = {}): Tensor {
    const q = this.qNorm.forward(intoHeads(this.q.forward(x), this.numHeads))
    const [keys, values] = this.kv
      .forward(context)
      .split(this.numHeads * this.headDim, -1)
      .map((part) => intoHeads(part, this.numHeads)) as [Tensor, Tensor]
    const dropoutP = this.training ? this.attnDrop.p : 0
    const { generator } = this.attnDrop
    const k = this.kNorm.forward(keys)
    const out = scaledDotProductAttention(q, k, values, { attnMask: perHead(attnMask), dropoutP, generator })
    return this.projDrop.forward(this.proj.forward(outOfHeads(out)))
  }

  override cost(inputs: readonly unknown[], output: Tensor): Cost {
    return attentionCost(output, inputs[1] as Tensor)
  }
}

/** Each token with each it looks at ([batch, tokens, …]), over the width: once for the scores, once for the values. */
function attentionCost(output: Tensor, context: Tensor): Cost {
  return { macs: 2 * output.numel * (context.shape[1] ?? 0) }
}

/** Width of one head. @throws ERR_ARGUMENT when the heads do not divide the width. */
export function headWidth(dim: number, numHeads: number): number {
  if (numHeads > 0 && dim % numHeads === 0) return dim / numHeads
  throw argumentInvalid('attention: numHeads', `a divisor of the width ${dim}`, numHeads)
}

/** [batch, tokens, dim] as [batch, heads, tokens, dim / heads]. */
export function intoHeads(x: Tensor, numHeads: number): Tensor {
  if (x.ndim !== 3) throw shapeMismatch('attention', '[batch, tokens, dim]', x.shape)
  const [batch = 0, tokens = 0, dim = 0] = x.shape
  return x.reshape([batch, tokens, numHeads, dim / numHeads]).transpose(1, 2)
}

/** [batch, heads, tokens, width] as [batch, tokens, heads · width]. */
export function outOfHeads(x: Tensor): Tensor {
  return x.transpose(1, 2).flatten(2)
}

/** A mask of each sample is one for all its heads. */
function perHead(mask: Tensor | null | undefined): Tensor | null | undefined {
  return mask?.ndim === 3 ? mask.unsqueeze(1) : mask
}

function rotary(kind: '1d' | '2d' | null, headDim: number): RotaryPositionEmbedding | null {
  if (kind === null) return null
  return kind === '1d' ? new RotaryPositionEmbedding1D(headDim) : new RotaryPositionEmbedding2D(headDim)
}

/** On a grid only the patches turn, which come last: tokens before them have no place on it. */
function rotate(rope: RotaryPositionEmbedding | null, x: Tensor, gridSize: AttentionCall['gridSize']): Tensor {
  if (!rope) return x
  if (rope instanceof RotaryPositionEmbedding1D) return rope.forward(x)
  const tokens = x.shape.at(-2) ?? 0
  const side = Math.round(Math.sqrt(tokens))
  const grid = gridSize ?? [side, side]
  const prefix = tokens - grid[0] * grid[1]
  if (prefix === 0) return rope.forward(x, grid)
  if (gridSize === undefined || prefix < 0) {
    throw shapeMismatch('rotary attention', `at least ${grid.join('×')} tokens, of a grid that is given`, x.shape)
  }
  const [first, patches] = x.split([prefix, tokens - prefix], -2) as [Tensor, Tensor]
  return cat([first, rope.forward(patches, grid)], -2)
}
