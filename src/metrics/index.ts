/** Numbers that say how good embeddings and guesses are: functions of one set, and metrics over many batches. */
export { topKAccuracy } from './accuracy.js'
export * from './calibration.js'
export * from './classification.js'
export * from './confusion-matrix.js'
export {
  binaryAuroc,
  BinaryAUROC,
  binaryAveragePrecision,
  BinaryAveragePrecision,
  multiclassAuroc,
  MulticlassAUROC,
  multiclassAveragePrecision,
  MulticlassAveragePrecision,
  type BinaryCurveOptions,
  type CurveAverage,
  type CurveOptions,
} from './curves.js'
export type { LabelOptions } from './class-labels.js'
export { lidar, type Lidar, type LidarOptions } from './lidar.js'
export { Metric, type MetricState } from './metric.js'
export { nearestNeighbourScores, pairwiseDistance, type Distance, type NeighbourOptions } from './nearest-neighbours.js'
export { effectiveRank, rankMe } from './rank-me.js'
export * from './retrieval.js'
export { embeddingSpread } from './spread.js'
export { silhouetteScore } from './silhouette.js'
export { binaryStatScores, multiclassStatScores, type BinaryOptions } from './stat-scores.js'
