/** The vision transformer of stable-pretraining: timm's names, with rotary positions, SwiGLU and QK-norm as options. */
import type { Tensor } from '../tensor/index.js'
import type { Size2d } from './convolution.js'
import { truncNormal_ } from './init.js'
import { TransformerBlock } from './transformer-block.js'
import { type GlobalPool, VisionTransformer } from './vision-transformer.js'

export interface ViTOptions {
  /** Image size of the position table; other sizes that the patches divide are taken as well. */
  imgSize?: Size2d
  patchSize?: Size2d
  inChans?: number
  /** Outputs of the last linear layer; 0: the pooled features themselves. */
  numClasses?: number
  embedDim?: number
  depth?: number
  numHeads?: number
  mlpRatio?: number
  qkvBias?: boolean
  classToken?: boolean
  numRegTokens?: number
  /** Takes images of any size that the patches divide; positions are interpolated. On by default. */
  dynamicImgSize?: boolean
  globalPool?: GlobalPool
  posEmbedType?: 'learned' | 'sincos_2d' | 'none'
  dropRate?: number
  attnDropRate?: number
  projDropRate?: number
  dropPathRate?: number
  /** Rotary positions along the sequence or on the grid, instead of a table; true means 2d. */
  useRope?: '1d' | '2d' | boolean | null
  useQkNorm?: boolean
  mlpType?: 'gelu' | 'swiglu'
  useLayerScale?: boolean
  layerScaleInit?: number
  layerNormEps?: number
}

/** [batch, inChans, height, width] to [batch, dim], [batch, numClasses], or (`globalPool: ''`) all tokens. */
export class ViT extends VisionTransformer {
  constructor(options: ViTOptions = {}) {
    const { embedDim = 768, numHeads = 12, numRegTokens = 0, posEmbedType = 'learned', layerNormEps = 1e-6 } = options
    const { mlpRatio, qkvBias, useQkNorm, mlpType, useLayerScale, layerScaleInit } = options
    const useRope = options.useRope === true ? '2d' : options.useRope || null
    const given = { mlpRatio, qkvBias, useQkNorm, mlpType, useLayerScale, layerScaleInit }
    const block = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    const drops = { attnDrop: options.attnDropRate ?? 0, projDrop: options.projDropRate ?? 0 }
    const posEmbed = useRope ? 'none' : posEmbedType === 'learned' ? 'learn' : posEmbedType
    super(
      {
        ...options,
        regTokens: numRegTokens,
        posEmbed,
        fcNorm: false,
        dynamicImgSize: options.dynamicImgSize ?? true,
        layerNormEps,
      },
      {
        antialias: false,
        block: (dropPath) =>
          new TransformerBlock(embedDim, numHeads, { ...block, ...drops, useRope, layerNormEps, dropPath }),
      },
    )
  }

  /** As timm's, but tokens begin with normal numbers of standard deviation 0.02. */
  override resetParameters(): void {
    super.resetParameters()
    for (const token of [this.clsToken, this.regToken] as Array<Tensor | null>)
      if (token) truncNormal_(token, { std: 0.02 })
  }
}
