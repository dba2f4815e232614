/** What a table of operations is made of: handlers by name, and calls that notice a method which does not exist yet. */
import type { Tensor } from '../../src/tensor/index.js'

/** One case as a handler sees it. */
export interface Call {
  name: string
  op: string
  attrs: Record<string, unknown>
  /** In call order. */
  inputs: Tensor[]
  named: Record<string, Tensor>
  outputNames: string[]
  /** Reference results by name. */
  expected: Map<string, Tensor>
  /** Cotangents by the name of their output. */
  cotangents: Map<string, Tensor>
}

/** Computes the outputs: one, a list in the case's order, or by name. Gradients may be given by name as well. */
export type Handler = (call: Call) => unknown

export type Table = Record<string, Handler>

/** Thrown when an operation does not exist yet: the case is skipped. */
export class Missing extends Error {}

/** Calls a method of a tensor, which may not exist in this build. */
export function invoke(target: Tensor, method: string, ...args: unknown[]): never {
  const found = (target as unknown as Record<string, unknown>)[method]
  if (typeof found !== 'function') throw new Missing(`there is no Tensor.${method} yet`)
  return (found as (...values: unknown[]) => unknown).apply(target, args) as never
}

export function first({ inputs }: Call): Tensor {
  return at(inputs, 0)
}

export function at(inputs: Tensor[], index: number): Tensor {
  const tensor = inputs[index]
  if (!tensor) throw new Error(`the case has no input ${index}`)
  return tensor
}

/** `T_max` → `tMax`, `exclude_bias_n_norm` → `excludeBiasNNorm`. */
export function camelCase(name: string): string {
  const [head = '', ...rest] = name.split('_')
  return head.toLowerCase() + rest.map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join('')
}

export function camelOptions(options: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries((options ?? {}) as object).map(([name, value]) => [camelCase(name), value]))
}
