/** Optimizers, learning-rate schedulers, parameter groups and value schedules. */
export * from './adagrad.js'
export * from './adam.js'
export * from './assign.js'
export * from './composed-schedulers.js'
export { createOptimizer, optimizerClasses, type OptimizerClass, type OptimizerConfig } from './create.js'
export * from './create-scheduler.js'
export * from './cyclic-schedulers.js'
export {
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  MultiplicativeLR,
  MultiStepLR,
  PolynomialLR,
  StepLR,
} from './decay-schedulers.js'
export * from './grad-scaler.js'
export { Optimizer, type OptimizerStateDict, type ParamGroup, type ParamGroupInput } from './optimizer.js'
export * from './parameter-groups.js'
export * from './reduce-on-plateau.js'
export {
  LRScheduler,
  type Schedule,
  type ScheduledOptimizer,
  type Scheduler,
  type SchedulerState,
} from './scheduler.js'
export * from './sgd.js'
export * from './value-schedules.js'
export * from './warmup-schedulers.js'
export * from './weight-decay.js'
