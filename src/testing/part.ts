/** What a part of a composed module has to be: a module that is saved whole. */
import { Module } from '../nn/index.js'
import { manualSeed } from '../tensor/index.js'
import type { Builder } from './index.js'
import { require, requireEqual, rule, type Rule } from './rule.js'
import { numbers, smallBackbone, smallTransformer } from './synthetic.js'

export function partRules(build: Builder): Rule[] {
  const make = async (seed: number): Promise<Module<unknown>> => {
    manualSeed(seed)
    // Some parts are for vision transformers only.
    const built = await build({ backbone: smallBackbone() }).catch(() => build({ backbone: smallTransformer() }))
    require(built instanceof Module, () => 'it built something that is no nn.Module')
    return built as Module<unknown>
  }
  return [
    rule('it is a module with a forward', async () => {
      require(typeof (await make(0)).forward === 'function', () => 'it has no forward()')
    }),
    rule('what it holds is saved and loaded again', async () => {
      const [saved, loaded] = [await make(0), await make(1)]
      loaded.loadStateDict(saved.stateDict())
      const after = loaded.stateDict()
      for (const [name, tensor] of saved.stateDict()) {
        requireEqual(name, await numbers(after.get(name)!), await numbers(tensor))
      }
    }),
  ]
}
