/**
 * One description of a forward out of two traces with different batch sizes: every number is known to be a constant or a
 * function of the batch size, and every constant to be the same whatever the input.
 */
import { unsupported } from '../errors.js'
import type { DType, Tensor } from '../tensor/index.js'
import { sizeOf, type Size } from './size.js'
import { TracedTensor, type Trace } from './trace.js'

/** A tensor of the graph. */
export class Value {
  readonly shape: readonly Size[]
  readonly dtype: DType
  /** What was constant in both runs. */
  readonly constants: readonly [Tensor, Tensor] | undefined
  /** In the graph, once an operator made it. */
  name: string | undefined
  /** Its values once, with size 1 where the shape depends on the batch size, if it is constant and they are repeated there. */
  once: Tensor | undefined

  constructor(shape: readonly Size[], dtype: DType, constants: readonly [Tensor, Tensor] | undefined) {
    this.shape = shape
    this.dtype = dtype
    this.constants = constants
  }
}

export interface Call {
  operation: string
  module: string
  /** As given, with a Value for each tensor and a Size for each number. */
  args: unknown[]
  results: Value[]
}

export interface Paired {
  input: Value
  calls: Call[]
  output: unknown
  /** Those that are constant. */
  constants: Value[]
}

/** @throws ERR_UNSUPPORTED when the two runs called different operations, or used different constants (random ones). */
export async function pairTraces(first: Trace, second: Trace): Promise<Paired> {
  const pairing = new Pairing([first.input.shape[0] ?? 1, second.input.shape[0] ?? 1])
  const input = pairing.tensor(first.input, second.input)
  if (first.calls.length !== second.calls.length) throw differs('', 'calls other operations with another batch size')
  const calls = first.calls.map((call, index) => {
    const other = second.calls[index] ?? call
    const { operation, module } = call
    if (operation !== other.operation || module !== other.module) {
      throw differs(module, `calls ${operation}, or ${other.operation} with another batch size`)
    }
    pairing.module = module
    return {
      operation,
      module,
      args: pairing.value(call.args, other.args) as unknown[],
      results: pairing.value(call.results, other.results) as Value[],
    }
  })
  pairing.module = ''
  const paired = { input, calls, output: pairing.value(first.output, second.output), constants: pairing.constants() }
  for (const constant of paired.constants) await checkConstant(constant, pairing.moduleOf(constant))
  return paired
}

class Pairing {
  module = ''
  readonly #batches: readonly [number, number]
  readonly #values = new Map<TracedTensor, Value>()
  readonly #modules = new Map<Value, string>()

  constructor(batches: readonly [number, number]) {
    this.#batches = batches
  }

  tensor(a: TracedTensor, b: TracedTensor): Value {
    const known = this.#values.get(a)
    if (known) return known
    if (a.shape.length !== b.shape.length || a.dtype !== b.dtype || !a.constant !== !b.constant) throw this.#differs()
    const shape = a.shape.map((size, axis) => this.#number(size, b.shape[axis] ?? 0))
    const made = new Value(shape, a.dtype, a.constant && b.constant && [a.constant, b.constant])
    this.#values.set(a, made)
    this.#modules.set(made, this.module)
    return made
  }

  value(a: unknown, b: unknown): unknown {
    if (a instanceof TracedTensor && b instanceof TracedTensor) return this.tensor(a, b)
    if (typeof a === 'number' && typeof b === 'number') return this.#number(a, b)
    if (Array.isArray(a) && Array.isArray(b)) {
      if (a.length !== b.length) throw this.#differs()
      return a.map((item, index) => this.value(item, b[index]))
    }
    if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) {
      if (a !== b) throw this.#differs()
      return a
    }
    if (Object.getPrototypeOf(a) !== Object.prototype) return a
    const other = b as Record<string, unknown>
    return Object.fromEntries(Object.entries(a).map(([key, item]) => [key, this.value(item, other[key])]))
  }

  constants(): Value[] {
    return [...this.#values.values()].filter((value) => value.constants !== undefined)
  }

  moduleOf(value: Value): string {
    return this.#modules.get(value) ?? ''
  }

  #number(a: number, b: number): Size {
    const size = sizeOf(a, b, this.#batches)
    if (size === undefined) throw this.#differs()
    return size
  }

  #differs(): Error {
    return differs(this.module, 'calls an operation with other arguments for another batch size')
  }
}

/** Both runs must have had the same numbers; where the sizes differ, the same ones again and again. */
async function checkConstant(value: Value, module: string): Promise<void> {
  const [first, second] = value.constants as readonly [Tensor, Tensor]
  if (first === second) return
  const varying = value.shape.flatMap((size, axis) => (typeof size === 'number' ? [] : [axis]))
  const [a, b] = [first, second].map((tensor) => varying.reduce((part, axis) => part.narrow(axis, 0, 1), tensor)) as [
    Tensor,
    Tensor,
  ]
  const shape = `[${first.shape.join(', ')}]`
  if (!(await haveSameNumbers(a, b))) {
    throw differs(module, `uses a tensor ${shape} that is random, or depends on the batch size`)
  }
  if (varying.length === 0) return
  for (const [part, whole] of [
    [a, first],
    [b, second],
  ] as const) {
    if (await haveSameNumbers(part.expand(whole.shape), whole)) continue
    throw differs(module, `uses a constant tensor ${shape} whose shape depends on the batch size`)
  }
  value.once = a
}

async function haveSameNumbers(first: Tensor, second: Tensor): Promise<boolean> {
  const [a, b] = [await first.data(), await second.data()]
  return a.every((item, index) => Object.is(item, b[index]))
}

function differs(module: string, why: string): Error {
  return unsupported(
    `exportOnnx: module "${module}"`,
    why,
    'Export it with { dynamicBatch: false }, or give the forward the same operations for every batch.',
  )
}
