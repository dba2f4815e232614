/** One pre-norm layer of a transformer, as stable-pretraining has it; timm's own is in `vision-transformer.ts`. */
import { SptError } from '../errors.js'
import { full, type Tensor } from '../tensor/index.js'
import { SiLU } from './activation.js'
import { Attention, type AttentionCall, CrossAttention } from './attention.js'
import { Sequential } from './containers.js'
import { DropPath } from './dropout.js'
import { Mlp, SwiGLU } from './feed-forward.js'
import { zeros_ } from './init.js'
import { Linear } from './linear.js'
import { Module, parameter } from './module.js'
import { LayerNorm } from './normalization.js'

export interface TransformerBlockOptions {
  /** Width of the perceptron inside, as a multiple of the block's. */
  mlpRatio?: number
  selfAttn?: boolean
  /** Attention to a context, after self-attention. */
  crossAttn?: boolean
  /** Shift, scale and gate of each step come from a condition (Peebles & Xie 2022, arXiv:2212.09748, adaLN-zero). */
  useAdaln?: boolean
  useRope?: '1d' | '2d' | null
  /** Normalises the queries and keys of each head, without parameters. */
  useQkNorm?: boolean
  mlpType?: 'gelu' | 'swiglu'
  useLayerScale?: boolean
  /** Start value of the factor on each residual (Touvron et al. 2021, arXiv:2103.17239). */
  layerScaleInit?: number
  /** Probability that a sample skips a step. */
  dropPath?: number
  attnDrop?: number
  projDrop?: number
  qkvBias?: boolean
  layerNormEps?: number
}

export interface TransformerBlockCall extends AttentionCall {
  /** [batch, others, dim]; for `crossAttn`. */
  context?: Tensor | undefined
  /** [batch, dim]; for `useAdaln`. */
  cond?: Tensor | undefined
  /** For attention to the context, as `attnMask` for that to the tokens. */
  contextMask?: Tensor | null | undefined
}

/** What one step takes from the condition, each [batch, 1, dim]. */
interface Modulation {
  shift: Tensor
  scale: Tensor
  gate: Tensor
}

/** x + attention(norm(x)), then + attention to a context, then + perceptron; [batch, tokens, dim] to the same shape. */
export class TransformerBlock extends Module {
  readonly dim: number
  ls1: Tensor | null
  lsXattn: Tensor | null
  ls2: Tensor | null
  norm1: LayerNorm | null
  attn: Attention | null
  normXattnQ: LayerNorm | null
  normXattnKv: LayerNorm | null
  crossAttn: CrossAttention | null
  norm2: LayerNorm
  mlp: Mlp | SwiGLU
  dropPath: DropPath
  adaLN: Sequential | null

  constructor(dim: number, numHeads: number, options: TransformerBlockOptions = {}) {
    super()
    const { mlpRatio = 4, selfAttn = true, crossAttn = false, useAdaln = false, useRope = null } = options
    const { useQkNorm = false, mlpType = 'gelu', useLayerScale = false, layerScaleInit = 1e-5 } = options
    const { dropPath = 0, attnDrop = 0, projDrop = 0, qkvBias = true, layerNormEps = 1e-5 } = options
    this.dim = dim
    const factor = () => (useLayerScale ? parameter(full([dim], layerScaleInit)) : null)
    const norm = () => new LayerNorm(dim, { eps: layerNormEps, elementwiseAffine: !useAdaln })
    const qkNorm = useQkNorm
      ? (width: number) => new LayerNorm(width, { eps: layerNormEps, elementwiseAffine: false })
      : null
    const heads = { numHeads, qkvBias, qkNorm, attnDrop, projDrop }
    this.ls1 = selfAttn ? factor() : null
    this.lsXattn = crossAttn ? factor() : null
    this.ls2 = factor()
    this.norm1 = selfAttn ? norm() : null
    this.attn = selfAttn ? new Attention(dim, { ...heads, useRope }) : null
    this.normXattnQ = crossAttn ? norm() : null
    this.normXattnKv = crossAttn ? norm() : null
    this.crossAttn = crossAttn ? new CrossAttention(dim, heads) : null
    this.norm2 = norm()
    const hidden = { hiddenFeatures: Math.floor(dim * mlpRatio), drop: projDrop }
    this.mlp = mlpType === 'swiglu' ? new SwiGLU(dim, hidden) : new Mlp(dim, hidden)
    this.dropPath = new DropPath(dropPath)
    this.adaLN = useAdaln ? conditioning(dim, this.steps) : null
  }

  /** Steps that change the tokens: self-attention, attention to a context, perceptron. */
  private get steps(): number {
    return 1 + Number(this.attn !== null) + Number(this.crossAttn !== null)
  }

  /** PyTorch's name of `adaLN` is not one that snake_case gives. */
  override *namedChildren(): Generator<[string, Module<unknown>]> {
    for (const [name, child] of super.namedChildren()) yield [child === this.adaLN ? 'adaLN_mlp' : name, child]
  }

  forward(x: Tensor, { context, cond, contextMask, ...attention }: TransformerBlockCall = {}): Tensor {
    const modulations = this.modulations(cond)
    const next = () => modulations.shift() ?? null
    let y = x
    if (this.attn && this.norm1) {
      const modulation = next()
      y = this.add(y, this.attn.forward(modulate(this.norm1.forward(y), modulation), attention), this.ls1, modulation)
    }
    if (this.crossAttn && this.normXattnQ && this.normXattnKv) {
      if (!context) throw missing('context', 'crossAttn')
      const modulation = next()
      const queries = modulate(this.normXattnQ.forward(y), modulation)
      const seen = this.crossAttn.forward(queries, this.normXattnKv.forward(context), { attnMask: contextMask })
      y = this.add(y, seen, this.lsXattn, modulation)
    }
    const modulation = next()
    return this.add(y, this.mlp.forward(modulate(this.norm2.forward(y), modulation)), this.ls2, modulation)
  }

  private add(x: Tensor, step: Tensor, factor: Tensor | null, modulation: Modulation | null): Tensor {
    const scaled = factor ? step.mul(factor) : step
    return x.add(this.dropPath.forward(modulation ? scaled.mul(modulation.gate) : scaled))
  }

  private modulations(cond: Tensor | undefined): Modulation[] {
    if (!this.adaLN) return []
    if (!cond) throw missing('cond', 'useAdaln')
    const parts = this.adaLN
      .forward(cond)
      .unsqueeze(1)
      .chunk(3 * this.steps, -1)
    return Array.from({ length: this.steps }, (_, step) => {
      const [shift, scale, gate] = parts.slice(3 * step, 3 * step + 3) as [Tensor, Tensor, Tensor]
      return { shift, scale, gate }
    })
  }
}

function modulate(x: Tensor, modulation: Modulation | null): Tensor {
  return modulation ? x.mul(modulation.scale.add(1)).add(modulation.shift) : x
}

/** Starts at zero: every step is closed by its gate. */
function conditioning(dim: number, steps: number): Sequential {
  const linear = new Linear(dim, 3 * steps * dim)
  zeros_(linear.weight)
  if (linear.bias) zeros_(linear.bias)
  return new Sequential(new SiLU(), linear)
}

function missing(what: string, option: string): SptError {
  return new SptError('ERR_ARGUMENT', `a transformer block with ${option} needs ${what} in its forward`)
}
