/** How to call each metric of the reference vectors. */
import * as M from '../../src/metrics/index.js'
import type { Tensor } from '../../src/tensor/index.js'
import { at, type Call, camelOptions, type Handler, type Table } from './table.js'

/** A function of predictions, targets and the attributes as options. */
const scored =
  <Options extends object>(metric: (preds: Tensor, target: Tensor, options: Options) => unknown): Handler =>
  async ({ named, attrs, outputNames }: Call) => {
    const { note, note2, ...options } = attrs
    const value = await metric(named.scores as Tensor, named.target as Tensor, camelOptions(options) as Options)
    return { [outputNames[0] ?? 'out']: value }
  }

export const metrics: Table = {
  accuracy: scored(M.multiclassAccuracy),
  precision: scored(M.multiclassPrecision),
  recall: scored(M.multiclassRecall),
  f1_score: scored(M.multiclassF1Score),
  auroc: scored(M.multiclassAuroc),
  average_precision: scored(M.multiclassAveragePrecision),
  confusion_matrix: scored(M.multiclassConfusionMatrix),
  binary_accuracy: scored(M.binaryAccuracy),
  binary_f1_score: scored(M.binaryF1Score),
  binary_auroc: scored(M.binaryAuroc),
  binary_average_precision: scored(M.binaryAveragePrecision),
  rankme: ({ inputs }) => M.rankMe(at(inputs, 0)),
  effective_rank: ({ inputs }) => M.effectiveRank(at(inputs, 0)),
  LiDAR: async ({ inputs, attrs }) => {
    const { lidar, entropy, topEigenvalue } = await M.lidar(at(inputs, 0), camelOptions(attrs))
    return { lidar, entropy, top_eigenvalue: topEigenvalue }
  },
  silhouette: ({ named, attrs }) =>
    M.silhouetteScore(named.x as Tensor, named.labels as Tensor, { distance: attrs.metric as M.Distance }),
  pairwise_distances: ({ inputs, attrs }) =>
    M.pairwiseDistance(at(inputs, 0), at(inputs, 1), (attrs.metric ?? attrs.distance_metric) as M.Distance),
  OnlineKNN: async ({ named, attrs }) => {
    const labels = named.stored_labels as Tensor
    const classes =
      (attrs.num_classes as number | null) ??
      Math.max(...Array.from((await labels.data()) as BigInt64Array, Number)) + 1
    const votes = M.nearestNeighbourScores(named.queries as Tensor, named.stored_features as Tensor, labels, classes, {
      k: Number(attrs.k),
      temperature: Number(attrs.temperature),
      distance: attrs.distance_metric as M.Distance,
    })
    return { votes, predicted: votes.argmax(1) }
  },
}
