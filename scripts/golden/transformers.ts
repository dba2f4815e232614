/** Transformers and position tables of the reference vectors: built from a case's attributes. */
import {
  get1dSincosPosEmbed,
  get2dSincosPosEmbed,
  getTimestepEmbed,
  type Size2d,
  TransformerBlock,
  type TransformerBlockOptions,
} from '../../src/nn/index.js'
import { measure } from './measure.js'
import { camelOptions, first, type Table } from './table.js'

export const transformers: Table = {
  sincos_1d: ({ attrs }) =>
    get1dSincosPosEmbed(Number(attrs.embed_dim), Number(attrs.length), { clsToken: attrs.cls_token === true }),
  sincos_2d: ({ attrs }) =>
    get2dSincosPosEmbed(Number(attrs.embed_dim), attrs.grid_size as Size2d, { clsToken: attrs.cls_token === true }),
  get_timestep_embed: (call) => getTimestepEmbed(first(call), Number(call.attrs.dim)),
  TransformerBlock: async (call) => {
    const { dim, numHeads, ...options } = camelOptions(call.attrs.kwargs)
    return measure(new TransformerBlock(Number(dim), Number(numHeads), options as TransformerBlockOptions), call)
  },
}
