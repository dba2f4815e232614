/**
 * What a module computes: the operations of one forward, as they were called, from the input to the output.
 * Operations that the input does not reach (a position table, say) are not in it; their results are constants.
 * It knows nothing of ONNX.
 */
import { unsupported } from '../errors.js'
import { operations } from '../native.js'
import type { Module } from '../nn/index.js'
import { enableGrad, Tensor, type DType } from '../tensor/index.js'
import { compositions } from '../tensor/methods.js'

/** A tensor of the forward. */
export class TracedTensor {
  readonly shape: readonly number[]
  readonly dtype: DType
  /** Its values, where they do not depend on the input. */
  readonly constant: Tensor | undefined

  constructor(tensor: Tensor, isConstant: boolean) {
    this.shape = tensor.shape
    this.dtype = tensor.dtype as DType
    this.constant = isConstant ? tensor : undefined
  }
}

export interface TracedCall {
  /** The method of Tensor, or the function, such as "conv2d" or "cat". */
  operation: string
  /** The module that called it, such as "layer1.0.conv1"; "" is the whole. */
  module: string
  /** As given, the tensor itself first, with a TracedTensor for each tensor. */
  args: unknown[]
  results: TracedTensor[]
}

export interface Trace {
  input: TracedTensor
  calls: TracedCall[]
  /** What forward returned, with a TracedTensor for each tensor. */
  output: unknown
}

/**
 * Runs `module.forward(input)` and records it. The methods of Tensor are replaced meanwhile; forward is synchronous, so
 * nobody else meets them.
 *
 * @throws ERR_UNSUPPORTED when the forward reads numbers, writes in place, is asynchronous, or hides an operation.
 */
export function trace(module: Module<unknown>, input: Tensor): Trace {
  const recorder = new Recorder(module)
  // Whatever is made from the input is then no leaf: an operation that escaped the recording is found by that.
  input.requiresGrad = true
  const begin = recorder.follow(input)
  const restore = [withoutGradients(module), watchModules(module, recorder), watchOperations(recorder)]
  try {
    const output: unknown = enableGrad(() => module.forward(input))
    if (output instanceof Promise) throw unsupported('exportOnnx', 'the forward of the module is asynchronous')
    return { input: begin, calls: recorder.calls, output: recorder.replace(output) }
  } finally {
    for (const undo of restore.toReversed()) undo()
  }
}

/** On a tensor that depends on the input: not operations, and harmless. */
const silent = ['keepAlive', 'dispose']

/** On a tensor that depends on the input: what a graph of operations cannot say. */
const impossible: Readonly<Record<string, string>> = {
  data: 'reads numbers that depend on the input',
  item: 'reads a number that depends on the input',
  copy_: 'writes in place',
  backward: 'asks for gradients',
  setGrad: 'asks for gradients',
}

class Recorder {
  readonly calls: TracedCall[] = []
  /** The modules whose forward is running, innermost last. */
  readonly modules: string[] = []
  readonly #followed = new Map<Tensor, TracedTensor>()
  readonly #constants = new Map<Tensor, TracedTensor>()
  readonly #own: ReadonlySet<Tensor>

  constructor(module: Module<unknown>) {
    this.#own = new Set([...module.parameters(), ...module.buffers()])
  }

  /** From now on the tensor depends on the input. */
  follow(tensor: Tensor): TracedTensor {
    const traced = new TracedTensor(tensor, false)
    this.#followed.set(tensor, traced)
    return traced
  }

  /** Whether any tensor in a value depends on the input. */
  reaches(value: unknown): boolean {
    if (value instanceof Tensor) return this.#followed.has(value)
    if (Array.isArray(value)) return value.some((item) => this.reaches(item))
    return isPlain(value) && Object.values(value).some((item) => this.reaches(item))
  }

  /** The value with a TracedTensor for each tensor. */
  replace(value: unknown): unknown {
    if (value instanceof Tensor) return this.#followed.get(value) ?? this.#constant(value)
    if (Array.isArray(value)) return value.map((item) => this.replace(item))
    if (!isPlain(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.replace(item)]))
  }

  record(operation: string, args: unknown[], run: () => unknown): unknown {
    if (!this.reaches(args) || silent.includes(operation)) return run()
    const module = this.modules.at(-1) ?? ''
    const why = impossible[operation]
    if (why !== undefined) throw unsupported(`exportOnnx: ${operation} in module "${module}"`, why)
    const result = run()
    const results = (Array.isArray(result) ? result : [result]).filter((one) => one instanceof Tensor)
    // An operation may return one of its arguments; that tensor is recorded already.
    const known = results.every((one) => this.#followed.has(one))
    if (!known) {
      this.calls.push({
        operation,
        module,
        args: this.replace(args) as unknown[],
        results: results.map((one) => this.follow(one)),
      })
    }
    return result
  }

  #constant(tensor: Tensor): TracedTensor {
    const known = this.#constants.get(tensor)
    if (known) return known
    if (!tensor.isLeaf && !this.#own.has(tensor)) {
      throw unsupported(
        `exportOnnx: module "${this.modules.at(-1) ?? ''}"`,
        `uses a tensor [${tensor.shape.join(', ')}] made by an operation that cannot be followed`,
        'Make it by methods of Tensor, and keep tensors that need gradients as parameters of the module.',
      )
    }
    const traced = new TracedTensor(tensor, true)
    this.#constants.set(tensor, traced)
    return traced
  }
}

/** Replaces what computes by what computes and records; the result puts everything back. */
function watchOperations(recorder: Recorder): () => void {
  const methods = Object.entries(Object.getOwnPropertyDescriptors(Tensor.prototype)).filter(
    ([name, { value }]) => typeof value === 'function' && name !== 'constructor' && !compositions.includes(name),
  )
  for (const [name, descriptor] of methods) {
    const original = descriptor.value as (...args: unknown[]) => unknown
    Object.defineProperty(Tensor.prototype, name, {
      ...descriptor,
      value(this: Tensor, ...args: unknown[]): unknown {
        return recorder.record(name, [this, ...args], () => original.apply(this, args))
      },
    })
  }
  const table = operations as Record<string, (...args: unknown[]) => unknown>
  const functions = Object.entries(table)
  for (const [name, original] of functions)
    table[name] = (...args) => recorder.record(name, args, () => original(...args))
  return () => {
    Object.defineProperties(Tensor.prototype, Object.fromEntries(methods))
    for (const [name, original] of functions) table[name] = original
  }
}

/** Tells the recorder which module is running. */
function watchModules(module: Module<unknown>, recorder: Recorder): () => void {
  const watched = [...module.namedModules()].map(([name, each]) => {
    const own = Object.getOwnPropertyDescriptor(each, 'forward')
    const forward = each.forward.bind(each) as (...args: unknown[]) => unknown
    const watching = (...args: unknown[]): unknown => {
      recorder.modules.push(name)
      try {
        return forward(...args)
      } finally {
        recorder.modules.pop()
      }
    }
    Object.defineProperty(each, 'forward', { value: watching, configurable: true, enumerable: false, writable: true })
    return { each, own }
  })
  return () => {
    for (const { each, own } of watched) {
      if (own) Object.defineProperty(each, 'forward', own)
      else delete (each as { forward?: unknown }).forward
    }
  }
}

/** So that only what the input reaches needs gradients. */
function withoutGradients(module: Module<unknown>): () => void {
  const trained = module.parameters().filter((parameter) => parameter.requiresGrad)
  for (const parameter of trained) parameter.requiresGrad = false
  return () => {
    for (const parameter of trained) parameter.requiresGrad = true
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
