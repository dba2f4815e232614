/** torch.nn.MultiheadAttention: its parameter names, masks and outputs. */
import { argumentInvalid } from '../errors.js'
import { dropout, empty, scaledDotProductAttention, type Tensor, zeros } from '../tensor/index.js'
import { headWidth, intoHeads, outOfHeads } from './attention.js'
import { xavierUniform_, zeros_ } from './init.js'
import { Linear } from './linear.js'
import { type Cost, Module, parameter } from './module.js'

export interface MultiheadAttentionOptions {
  /** Probability that an attention weight is dropped. */
  dropout?: number
  bias?: boolean
  /** Width of the keys; `embedDim` by default. */
  kdim?: number
  /** Width of the values; `embedDim` by default. */
  vdim?: number
  /** [batch, tokens, dim] instead of PyTorch's default [tokens, batch, dim]. */
  batchFirst?: boolean
}

export interface MultiheadAttentionCall {
  /** [batch, keys]: bool, true where a key is ignored; or float, added to the scores. */
  keyPaddingMask?: Tensor | null | undefined
  /** [queries, keys] or [batch · heads, queries, keys]: bool, true where a key is not seen; or float, added to the scores. */
  attnMask?: Tensor | null | undefined
  /** Also return the weights; the matrix of all weights exists then. */
  needWeights?: boolean
  /** Weights as their mean over heads, [batch, queries, keys], instead of [batch, heads, queries, keys]. */
  averageAttnWeights?: boolean
}

/** What is returned: the tokens, and the weights if they were asked for. */
export type MultiheadAttentionOutput = [output: Tensor, weights: Tensor | null]

/** Query, key and value [tokens, batch, dim] (or `batchFirst`, or without a batch) to the query's shape. */
export class MultiheadAttention extends Module<MultiheadAttentionOutput> {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  readonly batchFirst: boolean
  /** [3 · embedDim, embedDim]: queries, keys, values; null where keys or values have a width of their own. */
  inProjWeight: Tensor | null = null
  qProjWeight: Tensor | null = null
  kProjWeight: Tensor | null = null
  vProjWeight: Tensor | null = null
  inProjBias: Tensor | null
  outProj: Linear

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super()
    const { dropout: p = 0, bias = true, kdim = embedDim, vdim = embedDim, batchFirst = false } = options
    headWidth(embedDim, numHeads)
    this.embedDim = embedDim
    this.numHeads = numHeads
    this.dropout = p
    this.batchFirst = batchFirst
    const weight = (rows: number, columns: number) => xavierUniform_(parameter(empty([rows, columns])))
    if (kdim === embedDim && vdim === embedDim) this.inProjWeight = weight(3 * embedDim, embedDim)
    else {
      this.qProjWeight = weight(embedDim, embedDim)
      this.kProjWeight = weight(embedDim, kdim)
      this.vProjWeight = weight(embedDim, vdim)
    }
    this.inProjBias = bias ? parameter(zeros([3 * embedDim])) : null
    this.outProj = new Linear(embedDim, embedDim, { bias })
    if (this.outProj.bias) zeros_(this.outProj.bias)
  }

  forward(query: Tensor, key = query, value = key, call: MultiheadAttentionCall = {}): MultiheadAttentionOutput {
    const { keyPaddingMask, attnMask, needWeights = true, averageAttnWeights = true } = call
    if (query.ndim === 2) {
      const axis = this.batchFirst ? 0 : 1
      const [q, k, v] = [query, key, value].map((x) => x.unsqueeze(axis)) as [Tensor, Tensor, Tensor]
      const [out, weights] = this.forward(q, k, v, { ...call, keyPaddingMask: keyPaddingMask?.unsqueeze(0) })
      return [out.squeeze(axis), weights?.squeeze(0) ?? null]
    }
    const batched = (x: Tensor) => (this.batchFirst ? x : x.transpose(0, 1))
    const [q, k, v] = this.project(batched(query), batched(key), batched(value)).map((x) =>
      intoHeads(x, this.numHeads),
    ) as [Tensor, Tensor, Tensor]
    const mask = this.scores(keyPaddingMask, attnMask, q)
    const p = this.training ? this.dropout : 0
    if (!needWeights) {
      const out = scaledDotProductAttention(q, k, v, { attnMask: mask, dropoutP: p })
      return [batched(this.outProj.forward(outOfHeads(out))), null]
    }
    const scores = q.mul(1 / Math.sqrt(this.embedDim / this.numHeads)).matmul(k.transpose(-2, -1))
    const weights = dropout((mask ? scores.add(mask) : scores).softmax(-1), p)
    const out = this.outProj.forward(outOfHeads(weights.matmul(v)))
    return [batched(out), averageAttnWeights ? weights.mean(1) : weights]
  }

  /** The three projections, the scores and the sums of values; without a batch the call inside has counted. */
  override cost([query, key = query, value = key]: readonly unknown[]): Cost {
    const [q, k, v] = [query, key, value] as [Tensor, Tensor, Tensor]
    if (q.ndim === 2) return {}
    const keys = k.shape[this.batchFirst ? 1 : 0] ?? 0
    return { macs: (q.numel + k.numel + v.numel) * this.embedDim + 2 * q.numel * keys }
  }

  private project(query: Tensor, key: Tensor, value: Tensor): Tensor[] {
    const { embedDim: dim, inProjWeight } = this
    const weights = inProjWeight?.split(dim, 0) ?? [this.qProjWeight, this.kProjWeight, this.vProjWeight]
    // One product where one is enough.
    if (inProjWeight && query === key && key === value)
      return query.linear(inProjWeight, this.inProjBias).split(dim, -1)
    const biases = this.inProjBias?.split(dim, 0) ?? []
    return [query, key, value].map((x, part) => x.linear(weights[part] as Tensor, biases[part]))
  }

  /** Both masks as one that is added to the scores [batch, heads, queries, keys]. */
  private scores(padding: Tensor | null | undefined, mask: Tensor | null | undefined, q: Tensor): Tensor | null {
    const [batch = 0] = q.shape
    const added = (x: Tensor) =>
      x.dtype === 'bool' || x.dtype === 'uint8' ? x.to(q.dtype).mul(0).maskedFill(x.to('bool'), -Infinity) : x
    const parts: Tensor[] = []
    if (mask) {
      if (mask.ndim === 3 && mask.shape[0] !== batch * this.numHeads) {
        const expected = `[queries, keys] or [${batch} · ${this.numHeads}, queries, keys]`
        throw argumentInvalid('MultiheadAttention: attnMask', expected, mask.shape)
      }
      parts.push(added(mask.ndim === 3 ? mask.reshape([batch, this.numHeads, ...mask.shape.slice(1)]) : mask))
    }
    if (padding) parts.push(added(padding).unsqueeze(1).unsqueeze(1))
    const [first, ...rest] = parts
    return first ? rest.reduce((sum, part) => sum.add(part), first) : null
  }
}
