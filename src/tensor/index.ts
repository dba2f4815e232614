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
  getDefaultDevice,
  getNumThreads,
  gpuAdapters,
  gpuStatistics,
  type GpuStatistics,
  gradientNorm,
  haveGradients,
  larsStep,
  limitGradNorm,
  lionStep,
  memory,
  nadamStep,
  operationsOnCpu,
  operationsWithoutGpu,
  radamStep,
  releaseMemory,
  resetPeakMemory,
  rmspropStep,
  rpropStep,
  scaleGradients,
  setDefaultDevice,
  setNumThreads,
  sgdStep,
  stack,
  synchronize,
  Tensor,
  where,
} from '../native.js'
export * from './attention.js'
export { autocast, isAutocastEnabled } from './autocast.js'
export * from './create.js'
export * from './distributions.js'
export * from './einsum.js'
export * from './functional.js'
export type { QuantileInterpolation } from './order-statistics.js'
export * from './profile.js'
export * from './random.js'
export * from './safetensors.js'
export * from './scope.js'
