/** The decoder of masked autoencoders: visible tokens and mask tokens to all patches (He et al. 2022, arXiv:2111.06377). */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { arange, type Tensor, zeros } from '../tensor/index.js'
import type { Size2d } from './convolution.js'
import { FlexibleTransformer, takeTokens } from './flexible-transformer.js'
import { normal_ } from './init.js'
import { Module, parameter } from './module.js'

export interface MAEDecoderOptions {
  /** Width of the encoder's tokens. */
  embedDim?: number
  decoderEmbedDim?: number
  /** Numbers to be predicted a patch. */
  outputDim?: number
  numPatches?: number
  depth?: number
  numHeads?: number
  mlpRatio?: number
  posEmbedType?: 'sincos_1d' | 'sincos_2d' | 'learned' | 'none'
  /** [rows, columns] of the patches; a square by default. */
  gridSize?: Size2d | null
  dropPathRate?: number
}

export interface MAEDecoderCall {
  /** Places of the visible tokens, int64 [batch, n]; by default in ascending order. */
  idsKeep?: Tensor | null | undefined
  /** Predict the masked patches only, in ascending order. */
  outputMaskedOnly?: boolean
}

/**
 * Visible tokens [batch, n, embedDim] (or those of all patches, of which `idsKeep` are taken) and a mask [batch, numPatches],
 * 0 where a patch is visible, to [batch, numPatches, outputDim]. Every sample has the same number of visible patches.
 */
export class MAEDecoder extends Module {
  /** [1, 1, embedDim]; goes through the projection of the queries. */
  maskToken: Tensor
  transformer: FlexibleTransformer

  constructor(options: MAEDecoderOptions = {}) {
    super()
    const { embedDim = 768, decoderEmbedDim = 512, numHeads = 16, depth = 4, ...rest } = options
    this.maskToken = normal_(parameter(zeros([1, 1, embedDim])), 0, 0.02)
    this.transformer = new FlexibleTransformer({
      ...rest,
      inputDim: embedDim,
      hiddenDim: decoderEmbedDim,
      depth,
      numHeads,
      selfAttn: true,
      crossAttn: false,
      useAdaln: false,
      zeroInitOutput: false,
      numPrefixTokens: 0,
    })
  }

  forward(x: Tensor, mask: Tensor, { idsKeep, outputMaskedOnly = false }: MAEDecoderCall = {}): Tensor {
    const [batch = 0, patches = 0] = mask.shape
    const [, tokens = 0, dim = 0] = x.shape
    if (mask.ndim !== 2 || x.shape[0] !== batch || tokens > patches) {
      throw shapeMismatch('MAEDecoder: mask', `[${x.shape[0]}, patches], at least ${tokens} of them`, mask.shape)
    }
    if (tokens === patches && !idsKeep) {
      throw argumentInvalid('MAEDecoder: idsKeep', 'places of the visible tokens, since all tokens are given', idsKeep)
    }
    const visible = idsKeep?.shape[1] ?? tokens
    // Ascending places, the visible ones before the masked ones.
    const order = mask.ne(0).to('int64').mul(patches).add(arange(patches)).argsort(1)
    const kept = idsKeep ?? order.narrow(1, 0, visible)
    const hidden = order.narrow(1, visible, patches - visible)
    return this.transformer.forward(tokens === patches ? takeTokens(x, kept) : x, {
      queries: this.maskToken.expand([batch, patches - visible, dim]),
      contextIdx: kept,
      queryIdx: hidden,
      returnAll: !outputMaskedOnly,
    })
  }
}
