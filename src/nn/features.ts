/** Reading what happens inside a network: the outputs of layers by their qualified names, as torchvision's feature extractor. */
import { SptError } from '../errors.js'
import { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/**
 * Wraps `module` so that its forward returns the outputs of the named layers. Names are those of `namedModules`, such as
 * `layer4.1` or `blocks.11`; an object gives each a name of its own: `{ layer4: 'deep' }`. The empty name is the module
 * itself. The whole module runs; of a layer that runs several times the last output counts.
 *
 *     const inner = nn.featureExtractor(backbone, ['layer2', 'layer4'])
 *     const { layer2, layer4 } = inner.forward(images)
 *
 * @throws ERR_ARGUMENT for a name that is not there, with the nearest one.
 */
export function featureExtractor(
  module: Module<unknown>,
  names: readonly string[] | Readonly<Record<string, string>>,
): FeatureExtractor {
  return new FeatureExtractor(module, names)
}

/** A module that returns outputs of layers inside another by name. Its hooks are there only while it runs. */
export class FeatureExtractor extends Module<Record<string, Tensor>> {
  module: Module<unknown>
  /** Qualified name of each layer, and the name its output gets. */
  readonly names: ReadonlyMap<string, string>

  constructor(module: Module<unknown>, names: readonly string[] | Readonly<Record<string, string>>) {
    super()
    const pairs = isList(names) ? names.map((name) => [name, name] as const) : Object.entries(names)
    for (const [name] of pairs) module.getSubmodule(name)
    this.module = module
    this.names = new Map(pairs)
  }

  forward(input: Tensor, ...more: unknown[]): Record<string, Tensor> {
    const outputs = new Map<string, unknown>()
    const removals = [...this.names.keys()].map((name) =>
      this.module.getSubmodule(name).registerForwardHook((_, output) => void outputs.set(name, output)),
    )
    try {
      this.module.forward(input, ...more)
    } finally {
      for (const remove of removals) remove()
    }
    return Object.fromEntries([...this.names].map(([name, key]) => [key, this.#tensorOf(name, outputs.get(name))]))
  }

  #tensorOf(name: string, output: unknown): Tensor {
    if (output instanceof Tensor) return output
    const whole = this.module.constructor.name
    throw new SptError(
      'ERR_ARGUMENT',
      output === undefined
        ? `featureExtractor: "${name}" did not run in the forward of ${whole}`
        : `featureExtractor: "${name}" of ${whole} returns no tensor`,
      { hint: 'Name a layer below or above it.' },
    )
  }
}

function isList(names: readonly string[] | Readonly<Record<string, string>>): names is readonly string[] {
  return Array.isArray(names)
}
