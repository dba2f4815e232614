/** A transformer from a context to queries: decoder, predictor or denoiser by its options, as stable-pretraining has it. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { arange, cat, type Tensor, where, zeros } from '../tensor/index.js'
import { GELU } from './activation.js'
import { ModuleList, Sequential } from './containers.js'
import type { Size2d } from './convolution.js'
import { normal_, truncNormal_, zeros_ } from './init.js'
import { Linear } from './linear.js'
import { Module, parameter } from './module.js'
import { LayerNorm } from './normalization.js'
import { get1dSincosPosEmbed, get2dSincosPosEmbed, getTimestepEmbed } from './position-embedding.js'
import { TransformerBlock, type TransformerBlockOptions } from './transformer-block.js'
import { dropPathRates } from './vision-transformer.js'

export interface FlexibleTransformerOptions extends Omit<TransformerBlockOptions, 'useRope' | 'dropPath'> {
  /** Width of context and queries as they come. */
  inputDim?: number
  hiddenDim?: number
  outputDim?: number
  /** Places of the position table. */
  numPatches?: number
  depth?: number
  numHeads?: number
  posEmbedType?: 'sincos_1d' | 'sincos_2d' | 'learned' | 'none'
  /** [rows, columns] of `sincos_2d`; a square by default. */
  gridSize?: Size2d | null
  /** Probability that a sample skips the last block; that of the others grows linearly from 0. */
  dropPathRate?: number
  /** Starts with outputs of 0. */
  zeroInitOutput?: boolean
  /** Tokens at the start of the context that have no place among the patches, such as a class token. */
  numPrefixTokens?: number
  /** Learned tokens that everything sees and nothing comes out of. */
  numRegisters?: number
  /** A learned token that stands in where a mask says so. */
  addMaskToken?: boolean
}

export interface FlexibleTransformerCall {
  /** [batch, m, inputDim]; without them the context itself is transformed and returned. */
  queries?: Tensor | null | undefined
  /** Places of the context after its prefix, int64 [batch, n]; 0, 1, 2 … by default. */
  contextIdx?: Tensor | null | undefined
  /** Places of the queries, int64 [batch, m]; 0, 1, 2 … by default. */
  queryIdx?: Tensor | null | undefined
  /** Times [batch]; for `useAdaln`. */
  t?: Tensor | null | undefined
  /** Prefix tokens that this context has; `numPrefixTokens` by default. */
  numPrefix?: number | undefined
  /** Where bool [batch, n] or [batch, m] holds, the mask token stands in; for `addMaskToken`. */
  contextMask?: Tensor | null | undefined
  queryMask?: Tensor | null | undefined
  /** Among all tokens (with registers) of the self-attention: true where a query sees a key, or added to the scores. */
  attnMask?: Tensor | null | undefined
  /** Without attention to a context: all tokens in the order of their places, prefix first, instead of the queries. */
  returnAll?: boolean
}

/**
 * Context [batch, n, inputDim] and queries [batch, m, inputDim] to [batch, m, outputDim]. With `crossAttn` the queries look
 * at the context (and with `selfAttn` first at each other); with `selfAttn` alone, both are one sequence.
 */
export class FlexibleTransformer extends Module {
  readonly numPrefixTokens: number
  readonly numRegisters: number
  readonly crossAttn: boolean
  maskToken: Tensor | null
  prefixPosEmbed: Tensor | null
  registerTokens: Tensor | null
  registerPosEmbed: Tensor | null
  /** [1, numPatches, hiddenDim] */
  posEmbed: Tensor | null
  contextProj: Linear
  queryProj: Linear
  outputProj: Linear
  timeMlp: Sequential | null
  blocks: ModuleList<TransformerBlock>
  finalNorm: LayerNorm

  constructor(options: FlexibleTransformerOptions = {}) {
    super()
    const { inputDim = 768, hiddenDim = 384, outputDim = 768, depth = 4, numHeads = 6, crossAttn = true } = options
    const { useAdaln = true, dropPathRate = 0, zeroInitOutput = true, numPrefixTokens = 1, numRegisters = 0 } = options
    const learned = (tokens: number) => (tokens > 0 ? parameter(zeros([1, tokens, hiddenDim])) : null)
    this.numPrefixTokens = numPrefixTokens
    this.numRegisters = numRegisters
    this.crossAttn = crossAttn
    this.maskToken = learned(Number(options.addMaskToken ?? false))
    this.prefixPosEmbed = options.posEmbedType === 'none' ? null : learned(numPrefixTokens)
    this.registerTokens = learned(numRegisters)
    this.registerPosEmbed = learned(numRegisters)
    this.posEmbed = this.positionTable(hiddenDim, options)
    this.contextProj = new Linear(inputDim, hiddenDim)
    this.queryProj = new Linear(inputDim, hiddenDim)
    this.outputProj = new Linear(hiddenDim, outputDim)
    this.timeMlp = useAdaln
      ? new Sequential(new Linear(hiddenDim, 4 * hiddenDim), new GELU(), new Linear(4 * hiddenDim, hiddenDim))
      : null
    const block = { ...options, crossAttn, useAdaln }
    this.blocks = new ModuleList(
      dropPathRates(dropPathRate, depth).map(
        (dropPath) => new TransformerBlock(hiddenDim, numHeads, { ...block, dropPath }),
      ),
    )
    this.finalNorm = new LayerNorm(hiddenDim)
    for (const token of [this.maskToken, this.prefixPosEmbed, this.registerTokens, this.registerPosEmbed]) {
      if (token) normal_(token, 0, 0.02)
    }
    if (zeroInitOutput) for (const tensor of this.outputProj.parameters()) zeros_(tensor)
  }

  forward(context: Tensor, call: FlexibleTransformerCall = {}): Tensor {
    const numPrefix = call.numPrefix ?? this.numPrefixTokens
    const cond = this.condition(call.t)
    const seen = this.place(
      this.replace(this.contextProj.forward(context), call.contextMask),
      call.contextIdx,
      numPrefix,
    )
    const asked = call.queries
      ? this.place(this.replace(this.queryProj.forward(call.queries), call.queryMask), call.queryIdx, 0)
      : null
    const registers = this.registers(context.shape[0] ?? 0)
    const { attnMask } = call
    if (this.crossAttn) {
      if (!asked) throw argumentInvalid('FlexibleTransformer: queries', 'a tensor, since crossAttn is on', asked)
      if (call.returnAll) throw argumentInvalid('FlexibleTransformer: returnAll', 'false, since crossAttn is on', true)
      const around = registers ? cat([registers, seen], 1) : seen
      return this.output(this.run([asked], { context: around, cond, attnMask }), 0, asked.shape[1] ?? 0)
    }
    const y = this.run([registers, seen, asked], { cond, attnMask })
    const before = seen.shape[1] ?? 0
    if (!asked) return this.output(y, this.numRegisters, before)
    const count = asked.shape[1] ?? 0
    if (!call.returnAll) return this.output(y, this.numRegisters + before, count)
    return inOrder(this.output(y, this.numRegisters, before + count), numPrefix, [
      call.contextIdx ?? places(before - numPrefix, context),
      call.queryIdx ?? places(count, context),
    ])
  }

  private run(parts: Array<Tensor | null>, call: Parameters<TransformerBlock['forward']>[1]): Tensor {
    const tokens = parts.filter((part) => part !== null)
    let x = tokens.length > 1 ? cat(tokens, 1) : (tokens[0] as Tensor)
    for (const block of this.blocks) x = block.forward(x, call)
    return x
  }

  private output(x: Tensor, start: number, count: number): Tensor {
    return this.outputProj.forward(this.finalNorm.forward(x.narrow(1, start, count)))
  }

  /** The mask token where the mask holds. */
  private replace(x: Tensor, mask: Tensor | null | undefined): Tensor {
    if (!mask) return x
    if (!this.maskToken) throw argumentInvalid('FlexibleTransformer: a mask', 'addMaskToken to be on', false)
    return where(mask.to('bool').unsqueeze(-1), this.maskToken, x)
  }

  /** Adds positions: the prefix has its own, the others those of their places. */
  private place(x: Tensor, index: Tensor | null | undefined, numPrefix: number): Tensor {
    const [, tokens = 0] = x.shape
    const rest = tokens - numPrefix
    if (rest < 0) throw shapeMismatch('FlexibleTransformer', `at least ${numPrefix} prefix tokens`, x.shape)
    if (index && index.shape.at(-1) !== rest) {
      throw shapeMismatch('FlexibleTransformer: places', `one for each of ${rest} tokens`, index.shape)
    }
    if (!this.posEmbed) return x
    const table = this.posEmbed.squeeze(0)
    const grid = table.embedding(index ?? places(rest, x))
    if (numPrefix === 0) return x.add(grid)
    const [prefix, others] = x.split([numPrefix, rest], 1) as [Tensor, Tensor]
    const own = this.prefixPosEmbed?.narrow(1, 0, Math.min(numPrefix, this.numPrefixTokens))
    if (own && own.shape[1] !== numPrefix) {
      throw argumentInvalid('FlexibleTransformer: numPrefix', `at most ${this.numPrefixTokens}`, numPrefix)
    }
    return cat([own ? prefix.add(own) : prefix, others.add(grid)], 1)
  }

  private registers(batch: number): Tensor | null {
    if (!this.registerTokens || !this.registerPosEmbed) return null
    const tokens = this.registerTokens.add(this.registerPosEmbed)
    return tokens.expand([batch, ...tokens.shape.slice(1)])
  }

  private condition(t: Tensor | null | undefined): Tensor | undefined {
    if (!this.timeMlp) return undefined
    if (!t) throw argumentInvalid('FlexibleTransformer: t', 'times [batch], since useAdaln is on', t)
    const width = this.finalNorm.normalizedShape[0] ?? 0
    return this.timeMlp.forward(getTimestepEmbed(t, width))
  }

  private positionTable(dim: number, options: FlexibleTransformerOptions): Tensor | null {
    const { posEmbedType = 'sincos_2d', numPatches = 196, gridSize } = options
    if (posEmbedType === 'none') return null
    if (posEmbedType === 'learned') return truncNormal_(parameter(zeros([1, numPatches, dim])), { std: 0.02 })
    const side = Math.round(Math.sqrt(numPatches))
    const table =
      posEmbedType === 'sincos_1d' ? get1dSincosPosEmbed(dim, numPatches) : get2dSincosPosEmbed(dim, gridSize ?? side)
    if (table.shape[0] === numPatches) return this.registerBuffer('posEmbed', table.unsqueeze(0))
    throw argumentInvalid(
      'FlexibleTransformer: gridSize',
      `rows · columns = ${numPatches} patches`,
      gridSize ?? [side, side],
    )
  }
}

/** 0 … count − 1 for each sample, int64 [batch, count]. */
function places(count: number, like: Tensor): Tensor {
  return arange(count)
    .unsqueeze(0)
    .expand([like.shape[0] ?? 0, count])
}

/** Tokens after the prefix sorted by their places. */
function inOrder(x: Tensor, numPrefix: number, index: Tensor[]): Tensor {
  const order = cat(index, 1).argsort(1)
  const [prefix, others] = x.split([numPrefix, order.shape[1] ?? 0], 1) as [Tensor, Tensor]
  const sorted = takeTokens(others, order)
  return numPrefix > 0 ? cat([prefix, sorted], 1) : sorted
}

/** Tokens [batch, n, dim] at places int64 [batch, m], [batch, m, dim]. */
export function takeTokens(x: Tensor, index: Tensor): Tensor {
  const [batch = 0, count = 0] = index.shape
  return x.gather(1, index.unsqueeze(-1).expand([batch, count, x.shape[2] ?? 0]))
}
