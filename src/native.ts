/** The native core. The only file that imports the generated binding; everything else takes it from here. */
import envPaths from 'env-paths'
import * as binding from '#binding'

export * from '#binding'

// For tests and benches of machines that this one is not: avx2, portable, …
const instructionSet = process.env['SPT_INSTRUCTION_SET']
if (instructionSet) binding.forceInstructionSet(instructionSet)

/** Where GPUs keep compiled kernels from one process to the next: the user's cache, or SPT_GPU_CACHE; empty: nowhere. */
export const gpuCacheFolder = process.env['SPT_GPU_CACHE'] ?? envPaths('stable-pretraining', { suffix: '' }).cache
binding.setGpuCacheFolder(gpuCacheFolder || undefined)
process.once('exit', binding.saveGpuCaches)

/**
 * Operations that are functions, not methods of Tensor, in a table: whoever records what a module computes replaces them
 * here for a while, as it replaces the methods.
 */
export const operations = { cat: binding.cat, stack: binding.stack, where: binding.where }

/** Tensors joined along a dimension that exists (default 0). */
export const cat: typeof binding.cat = (tensors, dim) => operations.cat(tensors, dim)

/** Tensors of one shape joined along a new dimension (default 0). */
export const stack: typeof binding.stack = (tensors, dim) => operations.stack(tensors, dim)

/** `a` where the condition holds, `b` elsewhere, with broadcasting. */
export const where: typeof binding.where = (condition, a, b) => operations.where(condition, a, b)
