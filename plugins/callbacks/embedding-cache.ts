/** Outputs of layers inside the networks, by name, among the outputs of the forward: so that probes can look deeper. */
import { defineCallback, SptError, Tensor, z, type Callback, type Outputs, type Trainer } from 'stable-pretraining'

export interface EmbeddingCacheOptions {
  /** Qualified names of layers, such as `backbone.layer3` or `backbone.blocks.11`; outputs get these names. */
  moduleNames: readonly string[]
}

export class EmbeddingCache implements Callback {
  readonly name = 'embedding_cache'
  readonly #names: readonly string[]
  readonly #seen = new Map<string, unknown>()
  #removals: Array<() => void> = []

  constructor({ moduleNames }: EmbeddingCacheOptions) {
    this.#names = moduleNames
  }

  setup(trainer: Trainer): void {
    this.#remove()
    // getSubmodule tells the nearest name where there is none such.
    this.#removals = this.#names.map((name) =>
      trainer.module.getSubmodule(name).registerForwardHook((_, output) => void this.#seen.set(name, output)),
    )
  }

  /** The last output of each layer in this forward; where a method runs the network twice, that is the second. */
  forward({ outputs }: { outputs: Outputs }): void {
    for (const name of this.#names) {
      const output = this.#seen.get(name)
      if (!(output instanceof Tensor)) {
        const what = output === undefined ? 'did not run in this forward' : 'returns no tensor'
        throw new SptError('ERR_ARGUMENT', `embedding-cache: "${name}" ${what}`, {
          hint: 'Name a layer below or above it; `spt summary` lists them.',
        })
      }
      outputs[name] = output
    }
    this.#seen.clear()
  }

  onFitEnd(): void {
    this.#remove()
  }

  onException(): void {
    this.#remove()
  }

  #remove(): void {
    for (const remove of this.#removals) remove()
    this.#removals = []
    this.#seen.clear()
  }
}

export default defineCallback({
  name: 'embedding-cache',
  aliases: ['EmbeddingCache'],
  targets: ['stable_pretraining.callbacks.EmbeddingCache'],
  description: 'Outputs of named layers as outputs of the forward, for probes and pictures of inner layers.',
  config: z.object({
    moduleNames: z
      .array(z.string().min(1))
      .min(1)
      .describe('layers, such as [backbone.layer3, backbone.layer4]; their outputs get these names'),
  }),
  build: ({ config }) => new EmbeddingCache(config),
})
