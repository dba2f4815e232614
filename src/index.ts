/** The public API of `stable-pretraining`: every name a user or a plugin's author may import. */
export { z } from 'zod'
export { resumeRun, startRun, type RunOptions } from './app/run.js'
export { createModule, type CreateModuleOptions } from './app/create-module.js'
export { camelCase } from './config/names.js'
export { namedReferences, reference, references, type PluginUse } from './config/reference.js'
export { SptError, errorCode, type ErrorCode } from './errors.js'
export * from './data/index.js'
export {
  defineBackbone,
  defineCallback,
  defineCollator,
  defineDataset,
  defineImageTransform,
  defineLogger,
  defineMethod,
  defineMetric,
  defineOptimizer,
  definePart,
  defineSampler,
  defineScheduler,
  defineTransform,
  isDefinition,
  type BuildContexts,
  type Built,
  type Definition,
  type Kind,
  type Nested,
  type Specification,
} from './plugin/define.js'
export type {
  Backbone,
  Method,
  MethodFamily,
  MethodNeeds,
  MethodTraits,
  Network,
  Services,
  State,
  StateValue,
} from './plugin/contracts.js'
export * from './interchange/index.js'
export * from './losses/index.js'
export * from './metrics/index.js'
export * as nn from './nn/index.js'
export * from './onnx/index.js'
export * from './optim/index.js'
export { appendToFile, replaceFile, writeFileAtomically } from './runs/atomic-file.js'
export * from './tensor/index.js'
export * from './train/index.js'
