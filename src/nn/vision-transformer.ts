/** Vision transformers under timm's parameter names (Dosovitskiy et al. 2021, arXiv:2010.11929). */
import { argumentInvalid, unsupported } from '../errors.js'
import { cat, full, type Tensor, where, zeros } from '../tensor/index.js'
import { Attention, type AttentionCall } from './attention.js'
import { ModuleList } from './containers.js'
import type { Size2d } from './convolution.js'
import { DropPath, Dropout } from './dropout.js'
import { Mlp } from './feed-forward.js'
import { normal_, truncNormal_, zeros_ } from './init.js'
import { Identity, Linear } from './linear.js'
import { Module, parameter } from './module.js'
import { LayerNorm } from './normalization.js'
import { PatchEmbed } from './patch-embed.js'
import { get2dSincosPosEmbed, interpolatePosEmbed } from './position-embedding.js'

/** What becomes of the tokens: the class token, mean or maximum of the patches, (class + mean of patches) / 2, all. */
export type GlobalPool = 'token' | 'avg' | 'avg_token' | 'max' | 'avgmax' | ''

export interface VisionTransformerOptions {
  /** Image size of the position table: one number, or [height, width]. */
  imgSize?: Size2d
  patchSize?: Size2d
  inChans?: number
  /** Outputs of the last linear layer; 0: the pooled features themselves. */
  numClasses?: number
  globalPool?: GlobalPool
  embedDim?: number
  depth?: number
  numHeads?: number
  /** Width of the perceptron inside a block, as a multiple of `embedDim`. */
  mlpRatio?: number
  qkvBias?: boolean
  /** Normalises the queries and keys of each head. */
  qkNorm?: boolean
  /** Start value of a factor on each residual (LayerScale); null: there is none. */
  initValues?: number | null
  classToken?: boolean
  /** Register tokens (Darcet et al. 2024, arXiv:2309.16588). */
  regTokens?: number
  /** A learned table, fixed sines and cosines, or none. */
  posEmbed?: 'learn' | 'sincos_2d' | 'none'
  /** Leaves class and register tokens without a position. */
  noEmbedClass?: boolean
  /** A norm before the blocks, and no bias in the patch embedding. */
  preNorm?: boolean
  /** The last norm after pooling, not before; by default where the pool is a mean or a maximum. */
  fcNorm?: boolean | null
  /** Takes images of any size that the patches divide; positions are interpolated. */
  dynamicImgSize?: boolean
  /** Dropout before the head. */
  dropRate?: number
  posDropRate?: number
  projDropRate?: number
  attnDropRate?: number
  /** Probability that a sample skips the last block; that of the others grows linearly from 0. */
  dropPathRate?: number
  layerNormEps?: number
}

/** A layer of the transformer: tokens to tokens. */
export interface TokenLayer extends Module {
  forward(x: Tensor, call?: AttentionCall): Tensor
}

/** What stands in for patches that are hidden. */
export interface PatchReplacement {
  /** [batch, patches], 1 where a patch is hidden. */
  mask: Tensor
  /** [1, 1, dim] */
  token: Tensor
}

/** How a kin of this network differs in what is no option of timm's. */
export interface VisionTransformerParts {
  /** Makes block `index`, given the probability that it is skipped. */
  block?: (dropPath: number) => TokenLayer
  /** Whether positions are low-pass filtered when the grid shrinks. */
  antialias?: boolean
}

/** [batch, inChans, height, width] to [batch, dim], to [batch, numClasses], or (`globalPool: ''`) to all tokens. */
export class VisionTransformer extends Module {
  readonly globalPool: GlobalPool
  readonly dynamicImgSize: boolean
  readonly noEmbedClass: boolean
  readonly antialias: boolean
  /** Class and register tokens, which come before the patches. */
  readonly numPrefixTokens: number
  /** Width of tokens and features. */
  readonly dim: number
  clsToken: Tensor | null
  regToken: Tensor | null
  /** [1, tokens, dim] */
  posEmbed: Tensor | null
  patchEmbed: PatchEmbed
  posDrop: Dropout
  normPre: LayerNorm | Identity
  blocks: ModuleList<TokenLayer>
  norm: LayerNorm | Identity
  fcNorm: LayerNorm | Identity
  headDrop: Dropout
  head: Linear | Identity

  constructor(options: VisionTransformerOptions = {}, parts: VisionTransformerParts = {}) {
    super()
    const { imgSize = 224, patchSize = 16, inChans = 3, embedDim: dim = 768, depth = 12, preNorm = false } = options
    const { classToken = true, regTokens = 0, posEmbed = 'learn', noEmbedClass = false } = options
    const { globalPool = 'token', fcNorm = null, numClasses = 0, dynamicImgSize = false, layerNormEps = 1e-6 } = options
    if (!classToken && globalPool === 'token') {
      throw argumentInvalid('VisionTransformer: globalPool', 'avg, max, avgmax or "" without a class token', globalPool)
    }
    const averages = globalPool === 'avg' || globalPool === 'max' || globalPool === 'avgmax'
    const normAfterPool = fcNorm ?? averages
    this.globalPool = globalPool
    this.dynamicImgSize = dynamicImgSize
    this.noEmbedClass = noEmbedClass
    this.antialias = parts.antialias ?? true
    this.numPrefixTokens = Number(classToken) + regTokens
    this.dim = dim
    this.clsToken = classToken ? parameter(zeros([1, 1, dim])) : null
    this.regToken = regTokens > 0 ? parameter(zeros([1, regTokens, dim])) : null
    this.patchEmbed = new PatchEmbed({
      imgSize,
      patchSize,
      inChans,
      embedDim: dim,
      bias: !preNorm,
      strictImgSize: !dynamicImgSize,
    })
    this.posEmbed = this.positionTable(posEmbed)
    this.posDrop = new Dropout(options.posDropRate ?? 0)
    const norm = (wanted: boolean) => (wanted ? new LayerNorm(dim, { eps: layerNormEps }) : new Identity())
    this.normPre = norm(preNorm)
    const block = parts.block ?? ((dropPath: number) => new VisionTransformerBlock(dim, dropPath, options))
    const rates = dropPathRates(options.dropPathRate ?? 0, depth)
    this.blocks = new ModuleList(rates.map((rate) => block(rate)))
    this.norm = norm(!normAfterPool)
    this.fcNorm = norm(normAfterPool)
    this.headDrop = new Dropout(options.dropRate ?? 0)
    this.head = numClasses > 0 ? new Linear(dim, numClasses) : new Identity()
    this.resetParameters()
  }

  /** timm's start values: normal numbers cut at two standard deviations of 0.02 in tables and linear layers. */
  resetParameters(): void {
    if (this.posEmbed?.requiresGrad) truncNormal_(this.posEmbed, { std: 0.02 })
    for (const token of [this.clsToken, this.regToken]) if (token) normal_(token, 0, 1e-6)
    initLinearLayers(this)
  }

  /** Width of a patch token. */
  get patchDim(): number {
    return this.dim
  }

  forward(images: Tensor): Tensor {
    return this.forwardHead(this.forwardFeatures(images))
  }

  /** All tokens after the last block and its norm: [batch, prefix + patches, dim]. */
  forwardFeatures(images: Tensor, call: AttentionCall = {}): Tensor {
    const { patches, gridSize } = this.embed(images)
    return this.forwardTokens(patches, { gridSize, ...call })
  }

  /** Tokens through the blocks: patches [batch, some, dim] that have their positions; class and register tokens are put before. */
  forwardTokens(patches: Tensor, call: AttentionCall = {}): Tensor {
    return this.norm.forward(this.forwardBlocks(patches, call).at(-1) as Tensor)
  }

  /** As `forwardTokens`: all tokens before the first block, then after each; the last norm is not applied. */
  forwardBlocks(patches: Tensor, call: AttentionCall = {}): Tensor[] {
    const prefix = this.prefixTokens(patches.shape[0] ?? 0)
    const tokens = prefix ? cat([prefix, patches], 1) : patches
    const outputs = [this.normPre.forward(this.posDrop.forward(tokens))]
    for (const block of this.blocks) outputs.push(block.forward(outputs.at(-1) as Tensor, call))
    return outputs
  }

  /** The patches among all tokens [batch, prefix + patches, dim]. */
  patchesOf(tokens: Tensor): Tensor {
    const { numPrefixTokens: prefix } = this
    return prefix > 0 ? tokens.narrow(1, prefix, (tokens.shape[1] ?? 0) - prefix) : tokens
  }

  /** The mean of the patches among all tokens, normalised where the network does so after pooling: [batch, dim]. */
  meanOfPatches(tokens: Tensor): Tensor {
    return this.fcNorm.forward(this.patchesOf(tokens).mean(1))
  }

  /** Pools tokens [batch, prefix + patches, dim] and classifies them. */
  forwardHead(tokens: Tensor): Tensor {
    return this.head.forward(this.headDrop.forward(this.fcNorm.forward(this.pool(tokens))))
  }

  /** Patches with their positions, [batch, rows · columns, dim]; where the mask is 1, a token takes a patch's place. */
  embed(images: Tensor, hidden?: PatchReplacement | null): { patches: Tensor; gridSize: [number, number] } {
    const [, , height = 0, width = 0] = images.shape
    const seen = this.patchEmbed.forward(images)
    const patches = hidden ? where(hidden.mask.ne(0).unsqueeze(-1), hidden.token, seen) : seen
    const gridSize = this.patchEmbed.grid(height, width)
    if (!this.posEmbed) return { patches, gridSize }
    const before = this.prefixPositions
    const positions = interpolatePosEmbed(this.posEmbed, this.patchEmbed.defaultGrid, gridSize, {
      numPrefixTokens: before,
      antialias: this.antialias,
    })
    const count = patches.shape[1] ?? 0
    return { patches: patches.add(before > 0 ? positions.narrow(1, before, count) : positions), gridSize }
  }

  /** Class token, then registers, with their positions: [batch, prefix, dim]; null where there are none. */
  prefixTokens(batch: number): Tensor | null {
    const tokens = [this.clsToken, this.regToken].filter((token) => token !== null)
    if (tokens.length === 0) return null
    const prefix = tokens.length > 1 ? cat(tokens, 1) : (tokens[0] as Tensor)
    const placed =
      this.posEmbed && !this.noEmbedClass ? prefix.add(this.posEmbed.narrow(1, 0, this.numPrefixTokens)) : prefix
    return placed.expand([batch, this.numPrefixTokens, this.dim])
  }

  private pool(tokens: Tensor): Tensor {
    const { globalPool: pool } = this
    if (pool === '') return tokens
    if (pool === 'token') return tokens.select(1, 0)
    const patches = this.patchesOf(tokens)
    if (pool === 'avg') return patches.mean(1)
    if (pool === 'max') return patches.amax(1)
    if (pool === 'avgmax') return patches.amax(1).add(patches.mean(1)).mul(0.5)
    return tokens.select(1, 0).add(patches.mean(1)).mul(0.5)
  }

  private get prefixPositions(): number {
    return this.noEmbedClass ? 0 : this.numPrefixTokens
  }

  private positionTable(kind: 'learn' | 'sincos_2d' | 'none'): Tensor | null {
    if (kind === 'none') return null
    const grid = this.patchEmbed.defaultGrid
    const before = this.prefixPositions
    if (kind === 'learn') return parameter(zeros([1, before + grid[0] * grid[1], this.dim]))
    const table = get2dSincosPosEmbed(this.dim, grid).pad([0, 0, before, 0])
    return this.registerBuffer('posEmbed', table.unsqueeze(0))
  }
}

/** x + factor · attention(norm(x)), then + factor · perceptron(norm(x)). */
export class VisionTransformerBlock extends Module {
  norm1: LayerNorm
  attn: Attention
  ls1: LayerScale | Identity
  dropPath1: DropPath
  norm2: LayerNorm
  mlp: Mlp
  ls2: LayerScale | Identity
  dropPath2: DropPath

  constructor(dim: number, dropPath: number, options: VisionTransformerOptions = {}) {
    super()
    const { numHeads = 12, mlpRatio = 4, qkvBias = true, qkNorm = false, initValues = null } = options
    const { projDropRate: drop = 0, attnDropRate: attnDrop = 0, layerNormEps: eps = 1e-6 } = options
    const norm = (width: number) => new LayerNorm(width, { eps })
    const factor = () => (initValues === null ? new Identity() : new LayerScale(dim, initValues))
    this.norm1 = norm(dim)
    this.attn = new Attention(dim, { numHeads, qkvBias, qkNorm: qkNorm ? norm : null, attnDrop, projDrop: drop })
    this.ls1 = factor()
    this.dropPath1 = new DropPath(dropPath)
    this.norm2 = norm(dim)
    this.mlp = new Mlp(dim, { hiddenFeatures: Math.floor(dim * mlpRatio), drop })
    this.ls2 = factor()
    this.dropPath2 = new DropPath(dropPath)
  }

  forward(x: Tensor, call: AttentionCall = {}): Tensor {
    const y = x.add(this.dropPath1.forward(this.ls1.forward(this.attn.forward(this.norm1.forward(x), call))))
    return y.add(this.dropPath2.forward(this.ls2.forward(this.mlp.forward(this.norm2.forward(y)))))
  }
}

/**
 * The module as a vision transformer, for methods that work on its tokens.
 *
 * @throws ERR_UNSUPPORTED for another kind of network, saying who asks and why.
 */
export function requireVisionTransformer(module: Module<unknown>, asker: string, why: string): VisionTransformer {
  if (module instanceof VisionTransformer) return module
  throw unsupported(asker, `it needs a vision transformer, not ${module.constructor.name}: ${why}`, hintOfVit)
}

const hintOfVit =
  'Choose such a backbone: {type: vit-tiny, image_size: 32, patch_size: 4}; or a method for any network, such as dino.'

/** Makes every patch embedding inside take images of any size that its patches divide, for crops of several sizes. */
export function takeAnyImageSize(module: Module<unknown>): void {
  for (const layer of module.modules()) if (layer instanceof PatchEmbed) layer.strictImgSize = false
}

/** A learned factor a channel (Touvron et al. 2021, arXiv:2103.17239). */
export class LayerScale extends Module {
  gamma: Tensor

  constructor(dim: number, initValues = 1e-5) {
    super()
    this.gamma = parameter(full([dim], initValues))
  }

  forward(x: Tensor): Tensor {
    return x.mul(this.gamma)
  }
}

/** Probabilities from 0 to `rate`, in equal steps. */
export function dropPathRates(rate: number, depth: number): number[] {
  return Array.from({ length: depth }, (_, index) => (depth > 1 ? (rate * index) / (depth - 1) : 0))
}

/** Normal numbers of standard deviation 0.02 in the weights of linear layers, zeros in their biases. */
export function initLinearLayers(network: Module<unknown>): void {
  for (const layer of network.modules()) {
    if (!(layer instanceof Linear)) continue
    truncNormal_(layer.weight, { std: 0.02 })
    if (layer.bias) zeros_(layer.bias)
  }
}
