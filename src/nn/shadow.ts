/**
 * A second set of weights for the same network: what a teacher is to its student. The network is run on them as
 * torch.func.functional_call does, so that any network will do, whatever its class keeps to itself.
 * How the weights move is said elsewhere.
 */
import { SptError } from '../errors.js'
import { noGrad, type Tensor } from '../tensor/index.js'
import { Module, withoutHooks } from './module.js'

/** Runs `work` while the network has other tensors in the place of its own; they come back whatever happens. */
export function withTensors<T>(network: Module<unknown>, others: ReadonlyMap<Tensor, Tensor>, work: () => T): T {
  const places: Array<[Record<string, unknown>, string, Tensor]> = []
  for (const [, module] of network.namedModules()) {
    const fields = module as unknown as Record<string, unknown>
    for (const [field, value] of Object.entries(fields)) {
      const other = others.get(value as Tensor)
      if (other === undefined) continue
      places.push([fields, field, value as Tensor])
      fields[field] = other
    }
  }
  try {
    return work()
  } finally {
    for (const [fields, field, own] of places) fields[field] = own
  }
}

/**
 * The network with weights of its own, copied when it is made: parameters without gradient, and buffers. Its state dict
 * has the network's names. `train` and `eval` hold for it alone; hooks of the network do not see its forward.
 */
export class Shadow extends Module<unknown> {
  readonly #network: Module<unknown>
  readonly #copies = new Map<Tensor, Tensor>()

  constructor(network: Module<unknown>) {
    super()
    this.#network = network
    this.training = network.training
    for (const tensor of [...network.parameters(), ...network.buffers()]) {
      this.#copies.set(tensor, noGrad(() => tensor.detach().clone()).keep())
    }
  }

  /** Without gradients. @throws ERR_UNSUPPORTED for a network whose forward is asynchronous. */
  forward(...inputs: unknown[]): unknown {
    const network = this.#network
    const modes = network.modules().map((module) => [module, module.training] as const)
    if (network.training !== this.training) network.train(this.training)
    try {
      const run = () => (network.forward as (...given: unknown[]) => unknown)(...inputs)
      const output = noGrad(() => withoutHooks(() => withTensors(network, this.#copies, run)))
      if (output instanceof Promise) {
        throw new SptError('ERR_UNSUPPORTED', `a shadow of ${network.constructor.name}: its forward is asynchronous`)
      }
      return output
    } finally {
      for (const [module, training] of modes) module.training = training
    }
  }

  override *ownParameters(): Generator<[string, Tensor]> {
    for (const [name, tensor] of this.#network.namedParameters()) yield [name, this.#copyOf(tensor)]
  }

  override *ownBuffers({ persistentOnly = false } = {}): Generator<[string, Tensor]> {
    const kept = persistentOnly ? new Set(this.#network.stateDict().values()) : undefined
    for (const [name, tensor] of this.#network.namedBuffers()) {
      if (kept === undefined || kept.has(tensor)) yield [name, this.#copyOf(tensor)]
    }
  }

  /** In the network's own order. */
  override stateDict(prefix = '', into = new Map<string, Tensor>()): Map<string, Tensor> {
    for (const [name, tensor] of this.#network.stateDict()) {
      into.set(prefix === '' ? name : `${prefix}.${name}`, this.#copyOf(tensor))
    }
    return into
  }

  #copyOf(tensor: Tensor): Tensor {
    const copy = this.#copies.get(tensor)
    if (copy === undefined) {
      throw new SptError('ERR_ARGUMENT', `${this.#network.constructor.name} has got tensors that its shadow has not`, {
        hint: 'Make the shadow after the network is complete, and change weights in place.',
      })
    }
    return copy
  }
}
