/** Cosine similarity and the losses that are nothing else: BYOL's and SimSiam's. */
import { Module } from '../nn/index.js'
import type { Tensor } from '../tensor/index.js'
import { sameShapes } from './shapes.js'

/** Σab / (max(‖a‖, ε) · max(‖b‖, ε)) along `dim`, with broadcasting. */
export function cosineSimilarity(a: Tensor, b: Tensor, { dim = 1, eps = 1e-8 } = {}): Tensor {
  return a
    .normalize(2, dim, eps)
    .mul(b.normalize(2, dim, eps))
    .sum(dim)
}

/** Mean of 2 − 2·cos over the last axis (Grill et al. 2020, arXiv:2006.07733, eq. 2). Predictions and targets [..., dim]. */
export class BYOLLoss extends Module {
  /** @throws ERR_SHAPE when the shapes differ or hold nothing. */
  forward(prediction: Tensor, target: Tensor): Tensor {
    sameShapes('BYOLLoss', prediction, target)
    return cosineSimilarity(prediction, target, { dim: -1, eps: 1e-12 }).mean().mul(-2).add(2)
  }
}

/** −mean cos over axis 1 (Chen & He 2021, arXiv:2011.10566, eq. 1) of two of one shape; detach the target yourself. */
export class NegativeCosineSimilarity extends Module {
  forward(a: Tensor, b: Tensor): Tensor {
    sameShapes('NegativeCosineSimilarity', a, b)
    return cosineSimilarity(a, b).mean().neg()
  }
}
