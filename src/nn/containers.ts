/** Modules that only hold modules, under torch.nn's names: Sequential, ModuleList, ModuleDict. */
import type { Tensor } from '../tensor/index.js'
import { SptError } from '../errors.js'
import { type Layer, Module } from './module.js'

/** Runs layers one after the other; children are named 0, 1, 2 … */
export class Sequential extends Module {
  readonly layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    this.layers = layers
  }

  override *namedChildren(): Generator<[string, Module<unknown>]> {
    for (const [index, layer] of this.layers.entries()) yield [String(index), layer]
  }

  forward(input: Tensor): Tensor {
    return this.layers.reduce((value, layer) => layer.forward(value), input)
  }

  at(index: number): Layer {
    const layer = this.layers.at(index)
    if (!layer) throw new SptError('ERR_ARGUMENT', `Sequential has ${this.layers.length} layers, none at ${index}`)
    return layer
  }
}

/** A list of modules without a forward of its own; children are named 0, 1, 2 … */
export class ModuleList<M extends Module<unknown> = Layer> extends Module<never> {
  readonly items: M[]

  constructor(items: Iterable<M> = []) {
    super()
    this.items = [...items]
  }

  override *namedChildren(): Generator<[string, Module<unknown>]> {
    for (const [index, item] of this.items.entries()) yield [String(index), item]
  }

  [Symbol.iterator](): IterableIterator<M> {
    return this.items[Symbol.iterator]()
  }

  get length(): number {
    return this.items.length
  }

  push(item: M): void {
    this.items.push(item)
  }

  forward(): never {
    throw new SptError('ERR_UNSUPPORTED', 'a ModuleList has no forward; call its items')
  }
}

/** Modules by name, without a forward of its own; the names are used as they are. */
export class ModuleDict<M extends Module<unknown> = Layer> extends Module<never> {
  readonly items: Map<string, M>

  constructor(items: Record<string, M> | Iterable<[string, M]> = {}) {
    super()
    this.items = new Map(Symbol.iterator in items ? (items as Iterable<[string, M]>) : Object.entries(items))
  }

  override *namedChildren(): Generator<[string, Module<unknown>]> {
    yield* this.items
  }

  get(name: string): M | undefined {
    return this.items.get(name)
  }

  set(name: string, item: M): void {
    this.items.set(name, item)
  }

  forward(): never {
    throw new SptError('ERR_UNSUPPORTED', 'a ModuleDict has no forward; call its items')
  }
}
