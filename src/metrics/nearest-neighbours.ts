/** Classification by the nearest of a set of labelled embeddings. It keeps no set itself; queues do. */
import { argumentInvalid, SptError } from '../errors.js'
import { noGrad, type Tensor } from '../tensor/index.js'

export type Distance = 'euclidean' | 'squared_euclidean' | 'cosine' | 'manhattan'

export interface NeighbourOptions {
  /** Neighbours that vote; no more than there are. */
  k?: number
  /** Softens the vote, which is 1 / (distance + temperature). */
  temperature?: number
  distance?: Distance
}

/** Distances of every row of `a` [rows, dim] to every row of `b` [others, dim]: [rows, others]. */
export function pairwiseDistance(a: Tensor, b: Tensor, distance: Distance = 'euclidean'): Tensor {
  if (a.ndim !== 2 || b.ndim !== 2 || a.shape[1] !== b.shape[1]) {
    throw new SptError(
      'ERR_SHAPE',
      `distances of rows [${a.shape.join(', ')}] to rows [${b.shape.join(', ')}]: expected [rows, dim] twice`,
    )
  }
  if (distance === 'manhattan') return a.cdist(b, 1)
  if (distance === 'cosine') return unit(a).matmul(unit(b).t()).neg().add(1)
  const squared = a.square().sum(1, true).add(b.square().sum(1, true).t()).sub(a.matmul(b.t()).mul(2)).clamp(0)
  return distance === 'euclidean' ? squared.sqrt() : squared
}

/**
 * Class scores [rows, classes] of `queries` [rows, dim]: each of the k nearest rows of `embedding` [set, dim] votes for its
 * `label` [set] with 1 / (distance + temperature), as stable-pretraining's OnlineKNN does.
 */
export function nearestNeighbourScores(
  queries: Tensor,
  embedding: Tensor,
  label: Tensor,
  classes: number,
  { k = 5, temperature = 0.07, distance = 'euclidean' }: NeighbourOptions = {},
): Tensor {
  if (!Number.isInteger(k) || k < 1) throw argumentInvalid('nearest neighbours: k', 'an integer of at least 1', k)
  if (!(temperature > 0)) throw argumentInvalid('nearest neighbours: temperature', 'a positive number', temperature)
  if (label.numel !== (embedding.shape[0] ?? 0)) {
    const [rows, labels] = [embedding, label].map(({ shape }) => `[${shape.join(', ')}]`)
    throw new SptError(
      'ERR_SHAPE',
      `nearest neighbours: labels ${labels} for embeddings ${rows}, expected one for each row`,
    )
  }
  return noGrad(() => {
    const nearest = Math.min(k, embedding.shape[0] ?? 0)
    const [values, indices] = nearestRows(queries, embedding, nearest, distance) // [rows, k] each
    const weight = values.add(temperature).reciprocal()
    const votes = label.indexSelect(0, indices.flatten()).reshape(indices.shape).oneHot(classes).to('float32') // [rows, k, classes]
    return votes.mul(weight.unsqueeze(2)).sum(1)
  })
}

/** Distances and places of the k nearest rows of `set` [others, dim] to each query [rows, dim]: [rows, k] each. */
function nearestRows(queries: Tensor, set: Tensor, k: number, distance: Distance): [Tensor, Tensor] {
  if (distance !== 'euclidean' && distance !== 'squared_euclidean')
    return pairwiseDistance(queries, set, distance).topk(k, 1, false) as [Tensor, Tensor]
  const [squared, indices] = queries.nearest(set, k)
  return [distance === 'euclidean' ? squared.sqrt() : squared, indices]
}

const unit = (rows: Tensor): Tensor => rows.div(rows.norm(2, 1, true).clamp(1e-12))
