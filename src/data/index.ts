/** Data: what samples are, where they are read from, how they become batches. */
export { Concat, Subset, randomSplit } from './subset.js'
export { ImageFolderDataset } from './image-folder.js'
export { InMemoryDataset, type InMemoryOptions } from './in-memory.js'
export { RandomSampler, SequentialSampler, type Sampler } from './samplers.js'
export {
  StackedMultiView,
  applyBatchTransforms,
  batchTransform,
  isBatchTransform,
  type BatchContext,
  type BatchTransform,
} from './batch-transform.js'
export { RandomMixupCutmix, type MixupCutmixOptions } from './mixup-cutmix.js'
export {
  Compose,
  Conditional,
  ControlledTransform,
  Lambda,
  RoundRobinMultiViewTransform,
  RoutingTransform,
  WorkerTransform,
  WrapTorchTransform,
} from './control.js'
export {
  MultiViewTransform,
  chain,
  compose,
  interpolationOf,
  isMultiView,
  normalizeSteps,
  sizeOf,
  viewCount,
  type Drawn,
  type ImageStep,
  type MultiView,
  type SampleStep,
  type SampleValues,
  type Step,
  type StepContext,
  type Transform,
} from './transform.js'
export * as functional from './functional.js'
export { blurAt, localSizeOf, viewSteps, type ViewRecipe } from './recipes.js'
export { twoViewOptions, twoViews, type TwoViewRecipe } from './two-view-recipe.js'
export { paddingSides } from './functional.js'
export { isImageStep } from './image-steps.js'
export { datasetStatistics, statisticsOf, type Statistics } from './statistics.js'
export { existingFile } from './file.js'
export { readCifar, type CifarOptions } from './cifar.js'
export { readIdx, readIdxDataset, type IdxArray, type IdxOptions } from './idx.js'
export { type Dataset, type EncodedImage, type ImageSource, type RawImage, type Sample } from './sample.js'
export { encodePng } from '../native.js'
export { collate, disposeBatch } from './collate.js'
export {
  DataLoader,
  type Batch,
  type BatchSource,
  type DataLoaderOptions,
  type LoaderState,
  type View,
} from './data-loader.js'
export { DataModule, type DataModuleOptions, type DataPart } from './data-module.js'
