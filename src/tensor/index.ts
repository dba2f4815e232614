/** Tensors: the native class with its methods, and the functions that make, scope and update them. */
import './methods.js'

export {
  adadeltaStep,
  adagradStep,
  adamaxStep,
  adamStep,
  asgdStep,
  cat,
  clearGradients,
  clipGradNorm,
  clipGradValue,
  cpuInfo,
  emaUpdate,
  forceInstructionSet,
  getNumThreads,
  gradientNorm,
  haveGradients,
  larsStep,
  lionStep,
  memory,
  nadamStep,
  radamStep,
  releaseMemory,
  resetPeakMemory,
  rmspropStep,
  rpropStep,
  scaleGradients,
  setNumThreads,
  sgdStep,
  stack,
  Tensor,
  where,
} from '../native.js'
export * from './attention.js'
export * from './create.js'
export * from './distributions.js'
export * from './einsum.js'
export * from './functional.js'
export type { QuantileInterpolation } from './order-statistics.js'
export * from './random.js'
export * from './safetensors.js'
export * from './scope.js'
