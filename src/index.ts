/** The public API of `stable-pretraining`: every name a user or a plugin's author may import. */
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
  type Specification,
} from './plugin/define.js'
