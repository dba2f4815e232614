/** The metrics of the reference vectors that exist. */
import {
  effectiveRank,
  nearestNeighbourScores,
  pairwiseDistance,
  rankMe,
  topKAccuracy,
  type Distance,
} from '../../src/metrics/index.js'
import type { Tensor } from '../../src/tensor/index.js'
import { at, Missing, type Table } from './table.js'

export const metrics: Table = {
  accuracy: ({ named, attrs }) => {
    if (attrs.average !== 'micro') throw new Missing('only the micro average of accuracy exists yet')
    return topKAccuracy(named.scores as Tensor, named.target as Tensor, Number(attrs.top_k))
  },
  rankme: ({ inputs }) => rankMe(at(inputs, 0)),
  effective_rank: ({ inputs }) => effectiveRank(at(inputs, 0)),
  pairwise_distances: ({ inputs, attrs }) =>
    pairwiseDistance(at(inputs, 0), at(inputs, 1), (attrs.metric ?? attrs.distance_metric) as Distance),
  OnlineKNN: async ({ named, attrs }) => {
    const labels = named.stored_labels as Tensor
    const classes =
      (attrs.num_classes as number | null) ??
      Math.max(...Array.from((await labels.data()) as BigInt64Array, Number)) + 1
    const votes = nearestNeighbourScores(named.queries as Tensor, named.stored_features as Tensor, labels, classes, {
      k: Number(attrs.k),
      temperature: Number(attrs.temperature),
      distance: attrs.distance_metric as Distance,
    })
    return { votes, predicted: votes.argmax(1) }
  },
}
