/** The public API of `stable-pretraining`: every name a user or a plugin's author may import. */
export { z } from 'zod'
export { reference, references, type PluginUse } from './config/reference.js'
export { SptError, errorCode, type ErrorCode } from './errors.js'
export {
  defineBackbone,
  defineCallback,
  defineDataset,
  defineLogger,
  defineMethod,
  defineOptimizer,
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
  Batch,
  BatchEvent,
  Callback,
  Logger,
  Method,
  Outputs,
  ParameterGroup,
  Services,
  Stage,
  State,
  StateValue,
} from './plugin/contracts.js'
