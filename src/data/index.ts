/** Data: what samples are, where they are read from, how they become batches. */
export { Concat, Subset, randomSplit } from './subset.js'
export { DictFormat, withColumns, type ColumnChanges, type Indexable } from './columns.js'
export { ManifestDataset, type ManifestOptions } from './manifest.js'
export { StoredNpzDataset, readNpzDataset, type NpzOptions } from './npz.js'
export { ParquetDataset, type ParquetOptions } from './parquet.js'
export { hubParquetFiles, splitInFolder, type HubOptions } from './hub.js'
export { type SplitChoice } from './hub-splits.js'
export { download, type DownloadOptions } from './download.js'
export { WebDataset, type WebDatasetOptions } from './webdataset.js'
export { ImageFolderDataset, type ImageFolderOptions } from './image-folder.js'
export { InMemoryDataset, type InMemoryOptions } from './in-memory.js'
export {
  RandomBatchSampler,
  RandomSampler,
  RepeatedRandomSampler,
  SequentialSampler,
  SupervisedBatchSampler,
  classNumbers,
  isBatchSampler,
  type BatchSampler,
  type RepeatedRandomSamplerOptions,
  type Sampler,
} from './samplers.js'
export { Collator, applyMasks, foldViews, type BatchChange, type CollatorOptions } from './collator.js'
export { type SkippedSample } from './batch-maker.js'
export {
  ComposeBatch,
  StackedMultiView,
  applyBatchTransforms,
  batchTransform,
  isBatchTransform,
  type BatchContext,
  type BatchTransform,
} from './batch-transform.js'
export { RandAugment, RandomSolarizeAdd, randAugmentOperations, type SolarizeAddOptions } from './rand-augment.js'
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
export * as viewOptions from './view-options.js'
export { blurAt, localSizeOf, viewSteps, type ViewRecipe } from './recipes.js'
export { twoViewOptions, twoViews, type TwoViewRecipe } from './two-view-recipe.js'
export { paddingSides } from './functional.js'
export { isImageStep } from './image-steps.js'
export { measureStatistics, type MeasureOptions, type MeasuredStatistics } from './measure.js'
export { datasetStatistics, statisticsOf, type Statistics } from './statistics.js'
export { existingFile, fileSource, memorySource, type ByteSource } from './file.js'
export { readCifar, type CifarOptions } from './cifar.js'
export { readIdx, readIdxDataset, type IdxArray, type IdxOptions } from './idx.js'
export {
  pictureOf,
  type Clip,
  type Dataset,
  type EncodedImage,
  type ImageSource,
  type RawImage,
  type Sample,
} from './sample.js'
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
