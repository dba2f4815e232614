/** Vision transformers by size, and the options that their plugins share. */
import { z } from 'zod'
import { argumentInvalid } from '../errors.js'
import { pretrainedOption } from './pretrained.js'
import { VisionTransformer, type VisionTransformerOptions } from './vision-transformer.js'
import { ViT, type ViTOptions } from './vit.js'

/** Width, layers, heads (and the perceptrons' factor, 4 elsewhere) by the names of timm's models. */
export const vitSizes = {
  tiny: { embedDim: 192, depth: 12, numHeads: 3 },
  small: { embedDim: 384, depth: 12, numHeads: 6 },
  base: { embedDim: 768, depth: 12, numHeads: 12 },
  large: { embedDim: 1024, depth: 24, numHeads: 16 },
  huge: { embedDim: 1280, depth: 32, numHeads: 16 },
  giant: { embedDim: 1408, depth: 40, numHeads: 16, mlpRatio: 48 / 11 },
  gigantic: { embedDim: 1664, depth: 48, numHeads: 16, mlpRatio: 64 / 13 },
  enormous: { embedDim: 1792, depth: 56, numHeads: 16, mlpRatio: 15360 / 1792 },
} as const satisfies Record<string, VisionTransformerOptions>

export type VitSize = keyof typeof vitSizes

/** timm's vision transformer of that size; `vit_tiny_patch16_224` is `visionTransformer('tiny')`. */
export const visionTransformer = (size: VitSize, options: VisionTransformerOptions = {}): VisionTransformer =>
  new VisionTransformer({ ...vitSizes[size], ...options })

/** stable-pretraining's vision transformer of that size. */
export const vit = (size: VitSize, options: ViTOptions = {}): ViT => new ViT({ ...vitSizes[size], ...options })

/** The options of a vision transformer's plugin. */
export const vitConfig = () =>
  z.object({
    pretrained: pretrainedOption(),
    imageSize: z.int().min(1).default(224).describe('side of the images that the position table is made for, pixels'),
    patchSize: z.int().min(1).default(16).describe('side of a patch, pixels; it has to divide the images'),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
    dynamicImageSize: z
      .boolean()
      .default(false)
      .describe('take images of any size that the patches divide; positions are interpolated'),
    classToken: z.boolean().default(true).describe('a learned token before the patches'),
    registerTokens: z.int().min(0).default(0).describe('learned tokens beside the class token (arXiv:2309.16588)'),
    globalPool: z
      .enum(['token', 'avg', 'avg_token', 'max', 'avgmax'])
      .default('token')
      .describe(
        'the embedding: class token, mean of the patches, mean of these two, maximum, mean of maximum and mean',
      ),
    posEmbed: z
      .enum(['learned', 'sincos_2d', 'rope_1d', 'rope_2d', 'none'])
      .default('learned')
      .describe(
        'positions: a learned table, fixed sines and cosines, rotation along the sequence or on the grid, none',
      ),
    qkNorm: z.boolean().default(false).describe('normalise the queries and keys of each head'),
    swiglu: z.boolean().default(false).describe('gated perceptrons (arXiv:2002.05202) instead of GELU'),
    layerScale: z
      .number()
      .positive()
      .nullable()
      .default(null)
      .describe('start value of a factor on each residual (arXiv:2103.17239); null: none'),
    dropPathRate: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('probability that a sample skips the last block; that of the others grows linearly from 0'),
    dropRate: z.number().min(0).max(1).default(0).describe('dropout of attention weights and after linear layers'),
    depth: z.int().min(1).optional().describe("number of blocks; by default the size's own"),
    layout: z
      .enum(['timm', 'stable_pretraining'])
      .optional()
      .describe(
        'whose parameter names and details; by default timm, but stable_pretraining with swiglu or rotary positions, which it alone has',
      ),
  })

/** @throws ERR_ARGUMENT where timm's layout lacks what the options ask for. */
export function vitFromConfig(size: VitSize, config: z.output<ReturnType<typeof vitConfig>>): VisionTransformer {
  const { imageSize: imgSize, patchSize, inChannels: inChans, classToken, registerTokens, globalPool } = config
  const { posEmbed, qkNorm, swiglu, layerScale, dropPathRate, dropRate, depth, dynamicImageSize } = config
  const rotary = posEmbed === 'rope_1d' || posEmbed === 'rope_2d'
  const layout = config.layout ?? (swiglu || rotary ? 'stable_pretraining' : 'timm')
  if (layout === 'timm' && (swiglu || rotary)) {
    const hint = 'Leave layout out, or set it to stable_pretraining.'
    throw argumentInvalid(
      'a vision transformer of layout timm',
      'no swiglu and no rotary positions',
      { swiglu, posEmbed },
      hint,
    )
  }
  const shared = {
    ...(depth === undefined ? {} : { depth }),
    imgSize,
    patchSize,
    inChans,
    classToken,
    globalPool,
    dropPathRate,
    attnDropRate: dropRate,
    projDropRate: dropRate,
  }
  if (layout === 'timm') {
    const table = posEmbed === 'learned' ? 'learn' : posEmbed === 'sincos_2d' ? 'sincos_2d' : 'none'
    return visionTransformer(size, {
      ...shared,
      regTokens: registerTokens,
      posEmbed: table,
      qkNorm,
      initValues: layerScale,
      dynamicImgSize: dynamicImageSize,
    })
  }
  return vit(size, {
    ...shared,
    numRegTokens: registerTokens,
    posEmbedType: rotary ? 'none' : posEmbed,
    useRope: rotary ? (posEmbed === 'rope_1d' ? '1d' : '2d') : null,
    useQkNorm: qkNorm,
    mlpType: swiglu ? 'swiglu' : 'gelu',
    dynamicImgSize: dynamicImageSize,
    ...(layerScale === null ? {} : { useLayerScale: true, layerScaleInit: layerScale }),
  })
}
