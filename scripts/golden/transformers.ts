/** Transformers and position tables of the reference vectors: built from a case's attributes. */
import {
  FlexibleTransformer,
  type FlexibleTransformerOptions,
  get1dSincosPosEmbed,
  get2dSincosPosEmbed,
  getTimestepEmbed,
  type InterpolationOptions,
  interpolatePosEmbed,
  MAEDecoder,
  type MAEDecoderOptions,
  MaskedEncoder,
  type Size2d,
  TransformerBlock,
  type TransformerBlockOptions,
  VisionTransformer,
  type VisionTransformerOptions,
  ViT,
  type ViTOptions,
} from '../../src/nn/index.js'
import { onesLike, type Tensor } from '../../src/tensor/index.js'
import { measure } from './measure.js'
import { camelOptions, first, type Handler, type Table } from './table.js'

/** timm.create_model of a plain vision transformer; it has 1,000 classes unless told otherwise. */
const timm =
  (embedDim: number, depth: number, numHeads: number, patchSize: number, imgSize: number): Handler =>
  async (call) => {
    const sizes = { embedDim, depth, numHeads, patchSize, imgSize, numClasses: 1000 }
    const options = { ...sizes, ...camelOptions(call.attrs.kwargs) }
    return measure(new VisionTransformer(options as VisionTransformerOptions), call)
  }

const timmVariants: Array<[string, number, number, number]> = [
  ['tiny', 192, 12, 3],
  ['small', 384, 12, 6],
  ['base', 768, 12, 12],
  ['large', 1024, 24, 16],
]

export const transformers: Table = {
  ...Object.fromEntries(
    timmVariants.flatMap(([size, dim, depth, heads]) =>
      [8, 14, 16, 32].flatMap((patch) =>
        [224, 384].map((image) => [`vit_${size}_patch${patch}_${image}`, timm(dim, depth, heads, patch, image)]),
      ),
    ),
  ),
  sincos_1d: ({ attrs }) =>
    get1dSincosPosEmbed(Number(attrs.embed_dim), Number(attrs.length), { clsToken: attrs.cls_token === true }),
  sincos_2d: ({ attrs }) =>
    get2dSincosPosEmbed(Number(attrs.embed_dim), attrs.grid_size as Size2d, { clsToken: attrs.cls_token === true }),
  get_timestep_embed: (call) =>
    getTimestepEmbed(first(call), Number(call.attrs.dim), { maxPeriod: Number(call.attrs.max_period ?? 10000) }),
  interpolate_pos_embed: (call) => {
    const { src_size: source, tgt_size: target, num_prefix_tokens: numPrefixTokens, mode } = call.attrs
    const options = { numPrefixTokens, mode } as InterpolationOptions
    return interpolatePosEmbed(first(call), source as [number, number], target as [number, number], options)
  },
  TransformerBlock: async (call) => {
    const { dim, numHeads, ...options } = camelOptions(call.attrs.kwargs)
    return measure(new TransformerBlock(Number(dim), Number(numHeads), options as TransformerBlockOptions), call)
  },
  ViT: async (call) => measure(new ViT(camelOptions(call.attrs.kwargs) as ViTOptions), call),
  MaskedEncoder: async (call) => {
    const encoder = new MaskedEncoder(new VisionTransformer(camelOptions(call.attrs.vit) as VisionTransformerOptions))
    return measure(encoder, call, (x) => encoder.forward(x, { idsKeep: call.named.ids_keep }).encoded)
  },
  MAEDecoder: async (call) => {
    const decoder = new MAEDecoder(camelOptions(call.attrs.kwargs) as MAEDecoderOptions)
    const outputMaskedOnly = call.attrs.output_masked_only === true
    const options = { idsKeep: call.named.ids_keep, outputMaskedOnly }
    return measure(decoder, call, (x) => decoder.forward(x, call.named.mask as Tensor, options))
  },
  FlexibleTransformer: async (call) => {
    const transformer = new FlexibleTransformer(camelOptions(call.attrs.kwargs) as FlexibleTransformerOptions)
    const { queries, context_idx: contextIdx, query_idx: queryIdx, t } = call.named
    const queryMask = call.attrs.query_mask === true && queryIdx ? onesLike(queryIdx).to('bool') : undefined
    return measure(transformer, call, (x) => transformer.forward(x, { queries, contextIdx, queryIdx, t, queryMask }))
  },
}
