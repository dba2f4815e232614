/**
 * Built-in plugins for programs: `import { OnlineProbe } from 'stable-pretraining/plugins'`. A configuration names them
 * instead, and needs nothing from here.
 */
import type { Definition, MultiView, Transform } from 'stable-pretraining'
import byol from './transforms/byol.js'
import evaluation from './transforms/evaluation.js'
import mae from './transforms/mae.js'
import simclr from './transforms/simclr.js'
import swav from './transforms/swav.js'

export { AttentionVisualizer } from './callbacks/attention-visualizer.js'
export { forward } from './forward.js'
export { ModelCheckpoint } from './callbacks/checkpoint.js'
export { CollapseDetector } from './callbacks/collapse-detector.js'
export { EarlyStop } from './callbacks/early-stop.js'
export { EmbeddingCache } from './callbacks/embedding-cache.js'
export { EmbeddingWriter } from './callbacks/embedding-writer.js'
export { EpochMilestones } from './callbacks/epoch-milestones.js'
export { ImageRetrieval } from './callbacks/image-retrieval.js'
export { LatentViz } from './callbacks/latent-viz.js'
export { LearningRateMonitor } from './callbacks/learning-rate-monitor.js'
export { LiDAR } from './callbacks/lidar.js'
export { ModelSummary } from './callbacks/model-summary.js'
export { OnlineKNN } from './callbacks/online-knn.js'
export { OnlineProbe } from './callbacks/online-probe.js'
export { PCATokenVisualizer } from './callbacks/pca-token-visualizer.js'
export { RankMe } from './callbacks/rank-me.js'
export { Report } from './callbacks/report.js'
export { ThroughputMonitor } from './callbacks/throughput-monitor.js'
export { UntrainedBaseline } from './callbacks/untrained-baseline.js'
export { WeightDecayUpdater } from './callbacks/weight-decay-updater.js'
export { ConsoleLogger } from './loggers/console.js'
export { CsvLogger } from './loggers/csv.js'
export { JsonLinesLogger } from './loggers/jsonl.js'

/** The augmentation of SimCLR as a transform; options as in a configuration, in camelCase. */
export const simclrViews = (options: { size: number } & Record<string, unknown>) => transform(simclr, options)

/** The two views of BYOL, VICReg, Barlow Twins and MoCo v3 as a transform. */
export const byolViews = (options: { size: number } & Record<string, unknown>) => transform(byol, options)

/** The crops of SwAV as a transform. */
export const swavViews = (options: { size: number } & Record<string, unknown>) => transform(swav, options)

/** The view of masked autoencoders as a transform. */
export const maeView = (options: { size: number } & Record<string, unknown>) => transform(mae, options)

/** The plain view of evaluation as a transform. */
export const evaluationView = (options: { size: number } & Record<string, unknown>) => transform(evaluation, options)

function transform(definition: Definition<'transform'>, options: Record<string, unknown>): Transform | MultiView {
  const build = definition.build as (context: { config: unknown }) => Transform | MultiView
  return build({ config: definition.config.parse(options) })
}
