/** What an operator is: how one operation of ours is said in ONNX; and how it reads its arguments. */
import type { Graph } from '../graph.js'
import { Value } from '../pair.js'
import { type Size, VaryingSize } from '../size.js'

/**
 * Adds the nodes of a call to the graph. `args`: as the operation was called, the tensor itself first.
 * @returns the name of each result.
 */
export type Operator = (graph: Graph, args: readonly unknown[], results: readonly Value[]) => string | string[]

export function tensorOf(graph: Graph, arg: unknown): Value {
  if (arg instanceof Value) return arg
  throw graph.unsupported(`expected a tensor among its arguments, got ${typeof arg}`)
}

export function isAbsent(arg: unknown): arg is undefined | null {
  return arg === undefined || arg === null
}

/** A number that may depend on the batch size. */
export function sizeOfArgument(graph: Graph, arg: unknown, fallback?: Size): Size {
  if (isAbsent(arg) && fallback !== undefined) return fallback
  if (typeof arg === 'number' || arg instanceof VaryingSize) return arg
  throw graph.unsupported(`expected a number among its arguments, got ${typeof arg}`)
}

/** A number that may not. */
export function numberOf(graph: Graph, arg: unknown, fallback?: number): number {
  const size = sizeOfArgument(graph, arg, fallback)
  if (typeof size === 'number') return size
  throw graph.unsupported('one of its arguments depends on the batch size')
}

/** One number, or several. */
export function numbersOf(graph: Graph, arg: unknown, fallback?: readonly number[]): number[] {
  if (isAbsent(arg) && fallback !== undefined) return [...fallback]
  return (Array.isArray(arg) ? arg : [arg]).map((item) => numberOf(graph, item))
}

/** [vertical, horizontal]; one number is for both. */
export function pairOf(graph: Graph, arg: unknown, fallback?: readonly [number, number]): [number, number] {
  const [vertical = 0, horizontal = vertical] = numbersOf(graph, arg, fallback)
  return [vertical, horizontal]
}

/** Axes counted from the front; all of them where none is named. */
export function axesOf(graph: Graph, arg: unknown, ndim: number): number[] {
  const all = Array.from({ length: ndim }, (_, axis) => axis)
  return numbersOf(graph, arg, all).map((axis) => (axis < 0 ? axis + ndim : axis))
}

/** A size that must be known when the model is written. */
export function fixed(graph: Graph, size: Size | undefined): number {
  if (typeof size === 'number') return size
  throw graph.unsupported('it works along an axis whose size depends on the batch size')
}
