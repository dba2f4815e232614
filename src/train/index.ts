/** Training: module, trainer, manager, what they keep and what callbacks may use. */
export type { BatchEvent, BatchProgress, Callback, Logger, Outputs, Progress, Stage, StepProgress } from './callback.js'
export { loadCheckpoint, loadWeights, saveCheckpoint, type Checkpoint } from './checkpoint.js'
export {
  embed,
  fitFrozen,
  isFrozenEvaluator,
  withOwnRandomness,
  type Features,
  type FrozenEvaluator,
  type FrozenOptions,
} from './frozen.js'
export type { LogOptions } from './logbook.js'
export { Manager, type ManagerOptions, type RunResult } from './manager.js'
export { buildMetrics, EpochMetrics, type MetricsOfStages, type MetricsOption, type NamedMetrics } from './metrics.js'
export { Module, TrainingModule, type ModuleOptions } from './module.js'
export type { MultiOptimConfig, Optim, OptimConfig } from './optim-config.js'
export type { OptimizerEntry } from './optimization.js'
export { valueOf } from './outputs.js'
export type { StateObject } from './packing.js'
export { OnlineQueue } from './queue.js'
export { StepProfile } from './step-profile.js'
export { emaOf, emaOptions, headOptions, headPair, prototypeOptions, type EmaConfig } from './self-distillation.js'
export {
  teachersIn,
  updateTeachers,
  TeacherStudentCallback,
  TeacherStudentWrapper,
  type TeacherStudentOptions,
} from './teacher-student.js'
export { Trainer, type FitStatus } from './trainer.js'
export type { TrainerOptions } from './trainer-options.js'
export {
  cropsOf,
  type Crops,
  embedViews,
  expectCrops,
  expectViews,
  forwardCrops,
  imagesOf,
  labelsOf,
  viewsOf,
} from './views.js'
