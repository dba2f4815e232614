/** The losses of the reference vectors that are called with their inputs and nothing else. */
import * as L from '../../src/losses/index.js'
import type { Module } from '../../src/nn/index.js'
import type { Tensor } from '../../src/tensor/index.js'
import { at, camelOptions, type Handler, type Table } from './table.js'

type LossClass = new (options: never) => Module

/** A class whose options are the attributes, called with the inputs. */
const loss =
  (Loss: LossClass): Handler =>
  ({ inputs, attrs }) =>
    new Loss(camelOptions(attrs) as never).forward(at(inputs, 0), ...inputs.slice(1))

const pair =
  (compute: (a: Tensor, b: Tensor, options: never) => Tensor): Handler =>
  ({ inputs, attrs }) =>
    compute(at(inputs, 0), at(inputs, 1), camelOptions(attrs) as never)

export const losses: Table = {
  BarlowTwinsLoss: loss(L.BarlowTwinsLoss),
  BYOLLoss: loss(L.BYOLLoss as LossClass),
  NegativeCosineSimilarity: loss(L.NegativeCosineSimilarity as LossClass),
  NTXEntLoss: loss(L.NTXEntLoss),
  VCRegLoss: loss(L.VCRegLoss),
  data2vec: ({ inputs, attrs }) =>
    L.data2vecLoss(at(inputs, 0), at(inputs, 1), at(inputs, 2), { beta: Number(attrs.beta) }),
  mae: ({ inputs, attrs }) =>
    L.mae(at(inputs, 0), at(inputs, 1), at(inputs, 2), { normPixLoss: attrs.norm_pix_loss === true }),
  nepa: pair(L.nextEmbeddingLoss),
  'nnclr._nearest_neighbour': pair(L.nearestNeighbour),
  off_diagonal: ({ inputs }) => L.offDiagonal(at(inputs, 0)),
  simmim: ({ inputs }) => L.simMimLoss(at(inputs, 0), at(inputs, 1), at(inputs, 2)),
  'simsiam._neg_cos_sim': ({ inputs }) =>
    new L.NegativeCosineSimilarity().forward(at(inputs, 0), at(inputs, 1).detach()),
}
