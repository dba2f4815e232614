/**
 * The tree of layers: parameters, buffers and children by name, with PyTorch's state dict.
 * It is not the training module (that one holds a forward for batches and lives in `train`).
 */
import { suggest } from '../config/suggest.js'
import { SptError } from '../errors.js'
import { type DeviceName, type DType, noGrad, Tensor } from '../tensor/index.js'

/** What a state dict did not match. */
export interface StateDictMismatch {
  missing: string[]
  unexpected: string[]
}

/** Called after a forward with the inputs and the output; a returned value replaces the output. */
export type ForwardHook<Output> = (inputs: unknown[], output: Output) => Output | undefined | void

/** Arithmetic of one forward, for the whole batch. */
export interface Cost {
  /** Multiply-accumulates of matrix products and convolutions; each is two floating-point operations. */
  macs?: number
  /** Floating-point operations beside those. */
  flops?: number
}

/**
 * A layer or a network. Fields that hold a tensor are its parameters, unless they were registered as buffers; fields that
 * hold a module (or an array of modules) are its children. Names are those of the fields in snake_case, so that
 * `runningMean` is `running_mean` in the state dict.
 */
export abstract class Module<Output = Tensor> {
  /** Whether layers such as dropout and batch norm behave as in training. */
  training = true
  readonly #buffers = new Map<string, { persistent: boolean; host: boolean }>()
  readonly #hooks = new Set<ForwardHook<unknown>>()

  abstract forward(input: Tensor, ...more: unknown[]): Output

  /** Arithmetic of this module's own forward, without that of its children; `summary` adds them up. None where left out. */
  cost?(inputs: readonly unknown[], output: Output): Cost

  /**
   * Makes a tensor of this module that is saved but not trained, such as a running mean. With `host` it stays on the CPU
   * wherever the module goes: a number that code looks at in each step, for which a GPU would have to be waited for.
   */
  registerBuffer(field: string, tensor: Tensor, { persistent = true, host = false } = {}): Tensor {
    this.#buffers.set(field, { persistent, host })
    return tensor.keep()
  }

  /** Own parameters, without those of children. */
  *ownParameters(): Generator<[string, Tensor]> {
    for (const [field, value] of Object.entries(this)) {
      if (value instanceof Tensor && !this.#buffers.has(field)) yield [snakeCase(field), value.keep()]
    }
  }

  /** Own buffers, without those of children. */
  *ownBuffers({ persistentOnly = false } = {}): Generator<[string, Tensor]> {
    for (const [field, value] of Object.entries(this)) {
      const buffer = this.#buffers.get(field)
      if (value instanceof Tensor && buffer && (buffer.persistent || !persistentOnly)) yield [snakeCase(field), value]
    }
  }

  *namedChildren(): Generator<[string, Module<unknown>]> {
    for (const [field, value] of Object.entries(this)) {
      if (value instanceof Module) yield [snakeCase(field), value]
      else if (Array.isArray(value) && value.length > 0 && value.every((item) => item instanceof Module)) {
        for (const [index, item] of value.entries()) yield [`${snakeCase(field)}.${index}`, item]
      }
    }
  }

  children(): Array<Module<unknown>> {
    return [...this.namedChildren()].map(([, child]) => child)
  }

  /** This module (under `prefix`, empty by default) and all below it, depth first; a module that is shared comes once. */
  *namedModules(prefix = '', seen = new Set<Module<unknown>>()): Generator<[string, Module<unknown>]> {
    if (seen.has(this)) return
    seen.add(this)
    yield [prefix, this]
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(join(prefix, name), seen)
  }

  modules(): Array<Module<unknown>> {
    return [...this.namedModules()].map(([, module]) => module)
  }

  /** All parameters in PyTorch's order; one that is shared comes once. */
  *namedParameters(prefix = ''): Generator<[string, Tensor]> {
    yield* this.#collect(prefix, (module) => module.ownParameters())
  }

  parameters(): Tensor[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter)
  }

  *namedBuffers(prefix = ''): Generator<[string, Tensor]> {
    yield* this.#collect(prefix, (module) => module.ownBuffers())
  }

  buffers(): Tensor[] {
    return [...this.namedBuffers()].map(([, buffer]) => buffer)
  }

  /** The module of that qualified name. @throws ERR_ARGUMENT when there is none, with the nearest name and the children. */
  getSubmodule(name: string): Module<unknown> {
    for (const [known, module] of this.namedModules()) if (known === name) return module
    const near = suggest(
      name,
      [...this.namedModules()].map(([known]) => known),
    )
    const better = near === undefined ? '' : `; did you mean "${near}"?`
    throw new SptError('ERR_ARGUMENT', `no module "${name}" in ${this.constructor.name}${better}`, {
      hint: `Its children: ${[...this.namedChildren()].map(([child]) => child).join(', ')}.`,
    })
  }

  /** Switches this module and all below it to training, or back. */
  train(mode = true): this {
    this.training = mode
    for (const child of this.children()) child.train(mode)
    return this
  }

  eval(): this {
    return this.train(false)
  }

  /** Freezes or unfreezes all parameters. */
  requiresGrad_(flag = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = flag
    return this
  }

  /**
   * Moves all parameters and buffers to a device, in place: optimizers that hold them see the new memory. Or changes the
   * element type of the floating-point ones, `float64` for checks of numbers for instance; these tensors are new ones,
   * without gradients: make optimizers afterwards.
   */
  to(target: DType | DeviceName): this {
    if (isDevice(target)) return this.#moveTo(target)
    const dtype = target
    const changed = new Map<Tensor, Tensor>()
    for (const module of this.modules()) {
      const fields = module as unknown as Record<string, unknown>
      for (const [field, value] of Object.entries(fields)) {
        if (!(value instanceof Tensor) || !value.dtype.startsWith('float') || value.dtype === dtype) continue
        const other = changed.get(value) ?? noGrad(() => value.to(dtype)).keep()
        other.requiresGrad = value.requiresGrad
        changed.set(value, other)
        fields[field] = other
      }
    }
    return this
  }

  #moveTo(device: DeviceName): this {
    const staying = new Set(this.modules().flatMap((module) => module.#hostBuffers()))
    for (const tensor of [...this.parameters(), ...this.buffers()]) if (!staying.has(tensor)) tensor.moveTo_(device)
    return this
  }

  #hostBuffers(): unknown[] {
    const fields = this as unknown as Record<string, unknown>
    return [...this.#buffers].flatMap(([field, { host }]) => (host ? [fields[field]] : []))
  }

  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.setGrad(null)
  }

  /** All parameters and persistent buffers by PyTorch's names and in its order; the tensors are the live ones. */
  stateDict(prefix = '', into = new Map<string, Tensor>()): Map<string, Tensor> {
    for (const [name, parameter] of this.ownParameters()) into.set(join(prefix, name), parameter)
    for (const [name, buffer] of this.ownBuffers({ persistentOnly: true })) into.set(join(prefix, name), buffer)
    for (const [name, child] of this.namedChildren()) child.stateDict(join(prefix, name), into)
    return into
  }

  /**
   * Copies values into this module's tensors.
   *
   * @throws ERR_CHECKPOINT naming every key whose shape differs, and with `strict` every missing and unexpected key.
   *   Nothing is changed then.
   */
  loadStateDict(state: Map<string, Tensor> | Record<string, Tensor>, { strict = true } = {}): StateDictMismatch {
    const given = state instanceof Map ? state : new Map(Object.entries(state))
    for (const [name, module] of this.namedModules()) {
      if (module.makeRoom !== Module.prototype.makeRoom) module.makeRoom(below(given, name))
    }
    const own = this.stateDict()
    const missing = [...own.keys()].filter((key) => !given.has(key))
    const unexpected = [...given.keys()].filter((key) => !own.has(key))
    const mismatched = [...own].flatMap(([key, tensor]) => {
      const value = given.get(key)
      if (!value || value.shape.join() === tensor.shape.join()) return []
      return [`${key} has shape [${value.shape.join(', ')}], expected [${tensor.shape.join(', ')}]`]
    })
    const problems = [
      ...(strict && missing.length > 0 ? [`missing keys: ${missing.join(', ')}`] : []),
      ...(strict && unexpected.length > 0 ? [`unexpected keys: ${unexpected.join(', ')}`] : []),
      ...(mismatched.length > 0 ? [`mismatched shapes: ${mismatched.join('; ')}`] : []),
    ]
    if (problems.length > 0) {
      throw new SptError('ERR_CHECKPOINT', `state dict does not fit ${this.constructor.name}\n${problems.join('\n')}`, {
        hint: 'Build the same architecture, or pass { strict: false } to leave missing and unexpected keys alone.',
      })
    }
    noGrad(() => {
      for (const [key, tensor] of own) {
        const value = given.get(key)
        if (value) tensor.copy_(value)
      }
    })
    return { missing, unexpected }
  }

  /**
   * Called before values are copied in, with those of this module under its own names: for buffers whose shape, or whose
   * being there at all, only the saved state knows (queues, centres).
   */
  protected makeRoom(_state: ReadonlyMap<string, Tensor>): void {}

  /** Calls `hook` after every forward of this module. @returns a function that takes the hook away. */
  registerForwardHook(hook: ForwardHook<Output>): () => void {
    if (this.#hooks.size === 0) this.#wrapForward()
    this.#hooks.add(hook as ForwardHook<unknown>)
    return () => {
      this.#hooks.delete(hook as ForwardHook<unknown>)
      // The own property hid the class's method; without hooks there is nothing to hide.
      if (this.#hooks.size === 0) delete (this as { forward?: unknown }).forward
    }
  }

  /** Whether somebody looks at each forward of this module: a hook, or a recorder that put its own in place. */
  get isWatched(): boolean {
    return Object.hasOwn(this, 'forward')
  }

  #wrapForward(): void {
    const original = this.forward.bind(this)
    const wrapped = (input: Tensor, ...more: unknown[]): Output => {
      let output: unknown = original(input, ...more)
      if (!hooksRest) for (const hook of this.#hooks) output = hook([input, ...more], output) ?? output
      return output as Output
    }
    Object.defineProperty(this, 'forward', { value: wrapped, configurable: true, enumerable: false, writable: true })
  }

  *#collect(prefix: string, own: (module: Module<unknown>) => Iterable<[string, Tensor]>): Generator<[string, Tensor]> {
    const seen = new Set<Tensor>()
    for (const [moduleName, module] of this.namedModules(prefix)) {
      for (const [name, tensor] of own(module)) {
        if (seen.has(tensor)) continue
        seen.add(tensor)
        yield [join(moduleName, name), tensor]
      }
    }
  }
}

const isDevice = (target: DType | DeviceName): target is DeviceName => target === 'cpu' || target.startsWith('gpu')

let hooksRest = false

/** Runs `work`, which is synchronous, without calling any forward hook. */
export function withoutHooks<T>(work: () => T): T {
  const outer = hooksRest
  hooksRest = true
  try {
    return work()
  } finally {
    hooksRest = outer
  }
}

/** A module that takes one tensor and gives one. */
export type Layer = Module<Tensor>

/** Makes a tensor trainable and safe from scopes. */
export function parameter(tensor: Tensor, { requiresGrad = true } = {}): Tensor {
  tensor.requiresGrad = requiresGrad
  return tensor.keep()
}

/** `numBatchesTracked` → `num_batches_tracked`; digits stay with the letter before them. */
export function snakeCase(field: string): string {
  return field.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}

/** The entries under a prefix, without it. */
function below(state: ReadonlyMap<string, Tensor>, prefix: string): Map<string, Tensor> {
  if (prefix === '') return new Map(state)
  const entries = [...state].filter(([key]) => key.startsWith(`${prefix}.`))
  return new Map(entries.map(([key, tensor]) => [key.slice(prefix.length + 1), tensor]))
}

function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`
}
