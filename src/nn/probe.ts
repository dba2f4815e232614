/**
 * Heads that say what a representation knows: linear, perceptron and attentive probes of vectors, tokens and feature maps.
 * Who trains them is a callback's affair.
 */
import { argumentInvalid, SptError } from '../errors.js'
import { type Tensor, zeros } from '../tensor/index.js'
import type { Sequential } from './containers.js'
import { normal_ } from './init.js'
import { Identity, Linear } from './linear.js'
import { mlp } from './mlp.js'
import { type Layer, Module, parameter } from './module.js'
import { BatchNorm1d, LayerNorm } from './normalization.js'

/** What becomes of tokens [batch, tokens, dim]: their mean, or the first one. */
export type ProbePooling = 'mean' | 'cls'

export interface LinearProbeOptions {
  pooling?: ProbePooling
  /** A norm before the linear layer; none by default. */
  norm?: 'layer' | 'batch' | null
}

/** Vectors [batch, dim], tokens or maps [batch, dim, height, width] to [batch, numClasses] by one linear layer. */
export class LinearProbe extends Module {
  readonly pooling: ProbePooling
  norm: Layer
  fc: Linear

  constructor(embeddingDim: number, numClasses: number, { pooling = 'mean', norm = null }: LinearProbeOptions = {}) {
    super()
    this.pooling = pooling
    this.norm =
      norm === null ? new Identity() : norm === 'layer' ? new LayerNorm(embeddingDim) : new BatchNorm1d(embeddingDim)
    this.fc = new Linear(embeddingDim, numClasses)
  }

  forward(x: Tensor): Tensor {
    return this.fc.forward(this.norm.forward(pooled(x, this.pooling, this.fc.inFeatures)))
  }
}

/** As {@link LinearProbe} with one hidden layer: Linear, batch norm, ReLU, Linear. */
export class MLPProbe extends Module {
  readonly pooling: ProbePooling
  readonly embeddingDim: number
  layers: Sequential

  constructor(
    embeddingDim: number,
    numClasses: number,
    { hidden = 2 * embeddingDim, pooling = 'mean' }: { hidden?: number; pooling?: ProbePooling } = {},
  ) {
    super()
    this.pooling = pooling
    this.embeddingDim = embeddingDim
    this.layers = mlp([embeddingDim, hidden, numClasses], { norm: 'batch_norm' })
  }

  forward(x: Tensor): Tensor {
    return this.layers.forward(pooled(x, this.pooling, this.embeddingDim))
  }
}

/**
 * Tokens [batch, tokens, dim] (or maps, whose places are the tokens) to [batch, numClasses]: a layer norm, for each head a
 * learned query whose softmax over the tokens weighs them, and a linear layer on the heads side by side.
 */
export class MultiHeadAttentiveProbe extends Module {
  readonly numHeads: number
  readonly embeddingDim: number
  norm: LayerNorm
  /** [heads, dim / heads] */
  query: Tensor
  fc: Linear

  constructor(embeddingDim: number, numClasses: number, { numHeads = 4 }: { numHeads?: number } = {}) {
    super()
    if (embeddingDim % numHeads !== 0) {
      throw argumentInvalid('MultiHeadAttentiveProbe: numHeads', `a divisor of the width ${embeddingDim}`, numHeads)
    }
    this.numHeads = numHeads
    this.embeddingDim = embeddingDim
    this.norm = new LayerNorm(embeddingDim)
    this.query = parameter(zeros([numHeads, embeddingDim / numHeads]))
    normal_(this.query, 0, 0.02)
    this.fc = new Linear(embeddingDim, numClasses)
  }

  forward(x: Tensor): Tensor {
    const tokens = this.norm.forward(tokensOf(x, this.embeddingDim)) // [batch, tokens, dim]
    const [batch, count] = tokens.shape as [number, number, number]
    const heads = tokens.reshape([batch, count, this.numHeads, this.embeddingDim / this.numHeads])
    const weights = heads.mul(this.query).sum(-1, true).softmax(1) // [batch, tokens, heads, 1]
    return this.fc.forward(heads.mul(weights).sum(1).reshape([batch, this.embeddingDim]))
  }
}

export interface ProbeOptions extends LinearProbeOptions {
  /** Of the perceptron; twice the width by default. */
  hidden?: number | undefined
  /** Of the attentive probe. */
  numHeads?: number
}

/** A probe by name. */
export function probe(
  kind: 'linear' | 'mlp' | 'attentive',
  embeddingDim: number,
  numClasses: number,
  { hidden, numHeads = 4, pooling = 'mean', norm = null }: ProbeOptions = {},
): Layer {
  if (kind === 'linear') return new LinearProbe(embeddingDim, numClasses, { pooling, norm })
  if (kind === 'attentive') return new MultiHeadAttentiveProbe(embeddingDim, numClasses, { numHeads })
  return new MLPProbe(embeddingDim, numClasses, { pooling, ...(hidden !== undefined && { hidden }) })
}

function pooled(x: Tensor, pooling: ProbePooling, dim: number): Tensor {
  if (x.ndim === 2 && x.shape[1] === dim) return x
  const tokens = tokensOf(x, dim)
  // Maps have no class token.
  return pooling === 'cls' && x.ndim === 3 ? tokens.select(1, 0) : tokens.mean(1)
}

function tokensOf(x: Tensor, dim: number): Tensor {
  const maps = x.ndim === 4 && x.shape[1] === dim
  if (maps) return x.flatten(2).transpose(1, 2)
  if (x.ndim === 2 && x.shape[1] === dim) return x.unsqueeze(1)
  if (x.ndim === 3 && x.shape[2] === dim) return x
  throw new SptError('ERR_SHAPE', `a probe of width ${dim} got [${x.shape.join(', ')}]`, {
    hint: 'It takes [batch, dim], tokens [batch, tokens, dim] or maps [batch, dim, height, width]; set its input_dim.',
  })
}
