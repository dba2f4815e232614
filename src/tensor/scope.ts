/** Scopes free tensors without anyone calling dispose; noGrad switches recording off. Both take sync and async functions. */
import { enterScope, exitScope, isGradEnabled, setGradEnabled, Tensor } from '../native.js'

export { isGradEnabled }

/**
 * Runs `run` and frees every tensor made inside, except those in its result (in arrays, plain objects and Maps of any
 * depth), those that were kept, parameters and buffers of modules, and what their gradients still need.
 * Scopes nest. Two async scopes must not overlap in time.
 */
export function scope<T>(run: () => T): T {
  const depth = enterScope()
  return settle(run, (result) => exitScope(depth, collectTensors(result)))
}

/** Runs without recording operations for gradients. */
export function noGrad<T>(run: () => T): T {
  const before = setGradEnabled(false)
  return settle(run, () => setGradEnabled(before))
}

/** Runs with recording, inside a noGrad. */
export function enableGrad<T>(run: () => T): T {
  const before = setGradEnabled(true)
  return settle(run, () => setGradEnabled(before))
}

/** All tensors in a value: itself, or inside arrays, plain objects and Maps. */
export function collectTensors(value: unknown, into: Tensor[] = [], seen = new Set<unknown>()): Tensor[] {
  if (typeof value !== 'object' || value === null || seen.has(value)) return into
  seen.add(value)
  if (value instanceof Tensor) into.push(value)
  else if (Array.isArray(value)) for (const item of value) collectTensors(item, into, seen)
  else if (value instanceof Map) for (const item of value.values()) collectTensors(item, into, seen)
  else if (isPlain(value)) for (const item of Object.values(value)) collectTensors(item, into, seen)
  return into
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Calls `finish` once `run` has ended, however it ended; with the result if there is one. */
export function settle<T>(run: () => T, finish: (result: unknown) => void): T {
  let result: T
  try {
    result = run()
  } catch (error) {
    finish(undefined)
    throw error
  }
  if (!(result instanceof Promise)) {
    finish(result)
    return result
  }
  const settled = result.then(
    (value: unknown) => {
      finish(value)
      return value
    },
    (error: unknown) => {
      finish(undefined)
      throw error
    },
  )
  return settled as T
}
