/** What a backbone has to keep: its width, a gradient for every parameter, a state dict that comes back whole. */
import type * as nn from '../nn/index.js'
import { Generator, manualSeed, noGrad, randn, scope, type Tensor } from '../tensor/index.js'
import type { Builder, ConformanceOptions } from './index.js'
import { require, requireEqual, rule, type Rule } from './rule.js'
import { numbers } from './synthetic.js'

export function backboneRules(build: Builder, { side = 32 }: ConformanceOptions): Rule[] {
  const make = async (seed = 0): Promise<{ module: nn.Module; dim: number }> => {
    manualSeed(seed)
    return (await build({ seed })) as { module: nn.Module; dim: number }
  }
  const images = (count: number): Tensor => randn([count, 3, side, side], { generator: new Generator(3) })
  const embed = ({ module }: { module: nn.Module }, count: number): Promise<number[]> =>
    scope(() => noGrad(() => numbers(module.eval().forward(images(count)))))

  return [
    rule('images [batch, 3, height, width] become embeddings [batch, dim]', async () => {
      const { module, dim } = await make()
      const shape = scope(() => [...noGrad(() => module.eval().forward(images(2))).shape])
      requireEqual('the shape of the embedding', shape, [2, dim])
    }),
    rule('a batch of one works, and batches do not mix when evaluating', async () => {
      const backbone = await make()
      const [alone, together] = [await embed(backbone, 1), await embed(backbone, 2)]
      // Rounding grows with depth, relative to the largest value; images that mix differ by as much as that value.
      const limit = 1e-3 * alone.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-3)
      const far = alone.findIndex((value, i) => Math.abs(value - together[i]!) > limit)
      require(far < 0, () =>
        `element ${far} of the first embedding is ${alone[far]} alone and ${together[far]} beside another image`)
    }),
    rule('a gradient reaches every parameter', async () => {
      const { module } = await make()
      scope(() => module.train().forward(images(2)).square().sum().backward())
      const without = [...module.namedParameters()].filter(
        ([, parameter]) => parameter.requiresGrad && parameter.grad === null,
      )
      require(without.length === 0, () => `no gradient: ${without.map(([name]) => name).join(', ')}`)
    }),
    rule('the same seed draws the same weights', async () => {
      requireEqual('the embedding', await embed(await make(5), 1), await embed(await make(5), 1))
    }),
    rule('its state dict is saved and loaded again', async () => {
      const [from, to] = [await make(0), await make(1)]
      to.module.loadStateDict(from.module.stateDict())
      requireEqual('the embedding after loading', await embed(to, 1), await embed(from, 1))
    }),
  ]
}
