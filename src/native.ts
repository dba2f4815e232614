/** The native core. The only file that imports the generated binding; everything else takes it from here. */
import * as binding from '#binding'

export * from '#binding'

// For tests and benches of machines that this one is not: avx2, portable, …
const instructionSet = process.env['SPT_INSTRUCTION_SET']
if (instructionSet) binding.forceInstructionSet(instructionSet)

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
