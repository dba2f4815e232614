/** Methods collapse when what guards them is taken away, and the measure of a collapse says so. */
import { expect, test } from 'vitest'
import {
  AdamW,
  collapseOf,
  manualSeed,
  NegativeCosineSimilarity,
  nn,
  noGrad,
  randn,
  scope,
  type Spread,
  spreadOf,
  type Tensor,
} from '../../../src/index.js'
import type { Batch } from '../../../src/data/index.js'
import { build } from '../build.js'

type Parts = Record<string, nn.Layer & { student?: nn.Layer }>
type Forward = (batch: Batch, parts: Parts) => { loss: Tensor }

/** Noise whose mean colour is all that two views share, so that agreeing on one point is the easy way out. */
const view = (shared: Tensor): Tensor => shared.mul(0.3).add(randn([shared.shape[0]!, 3, 16, 16]))

/** Eighty steps from one start; the spread of the projections of new images before and after. */
async function train(config: object, forward?: Forward): Promise<{ start: Spread; end: Spread }> {
  manualSeed(0)
  const convolution = (from: number, to: number) => new nn.Conv2d(from, to, 3, { stride: 2, padding: 1 })
  const layers = [convolution(3, 16), new nn.ReLU(), convolution(16, 32), new nn.ReLU(), new nn.AdaptiveAvgPool2d(1)]
  const backbone = { module: new nn.Sequential(...layers, new nn.Flatten()), dim: 32, name: 'without norms' }
  const method = await build('method', config, { backbone, totalSteps: 80, seed: 0 })
  const parts = method.modules as unknown as Parts
  const trained = [...new Set(Object.values(parts).flatMap((part) => part.parameters()))]
  const optimizer = new AdamW([{ params: trained.filter(({ requiresGrad }) => requiresGrad) }], {
    lr: 0.03,
    weightDecay: 0,
  })
  const student = (name: string) => parts[name]!.student ?? parts[name]!
  const measure = () =>
    scope(() =>
      spreadOf(noGrad(() => student('projector').forward(student('backbone').forward(view(randn([64, 3, 1, 1])))))),
    )
  const start = await measure()
  for (let step = 0; step < 80; step++) {
    await scope(async () => {
      const shared = randn([32, 3, 1, 1])
      const batch = { views: [{ image: view(shared) }, { image: view(shared) }] } as unknown as Batch
      const place = { step, batch: step, epoch: 0, maxEpochs: 1, totalSteps: 80 }
      const { loss } = forward?.(batch, parts) ?? ((await method.forward(batch, 'fit', place)) as { loss: Tensor })
      loss.backward()
      optimizer.step()
      optimizer.zeroGrad()
      await method.afterStep?.(step + 1, place)
    })
  }
  return { start, end: await measure() }
}

/** Each view predicts the other, and both sides give way: no teacher, no stop-gradient. */
const withoutStopGradient: Forward = ({ views }, parts) => {
  const student = (name: string) => parts[name]!.student ?? parts[name]!
  const projected = views!.map(({ image }) => student('projector').forward(student('backbone').forward(image)))
  const [a, b] = projected.map((z) => parts['predictor']!.forward(z)) as [Tensor, Tensor]
  const loss = new NegativeCosineSimilarity()
  return { loss: loss.forward(a, projected[1]!).add(loss.forward(b, projected[0]!)).mul(0.5) }
}

test('byol without stop-gradient comes to one point; with it, not', async () => {
  const config = { type: 'byol', projector_dims: [64, 32], predictor_dims: [32, 32] }
  const guarded = await train(config)
  expect(collapseOf(guarded.end, {}, guarded.start)).toBeNull()
  const { start, end } = await train(config, withoutStopGradient)
  expect(collapseOf(end, {}, start)).toBe('point')
})

test('simsiam without stop-gradient loses directions; its last batch norm keeps it from one point', async () => {
  const config = { type: 'simsiam', projector_dim: 32, predictor_hidden_dim: 16 }
  const guarded = await train(config)
  const { end } = await train(config, withoutStopGradient)
  const floor = { rank: 4 }
  expect(collapseOf(guarded.end, floor)).toBeNull()
  expect(collapseOf(end, floor)).toBe('directions')
})

test('vicreg without its variance term shrinks to a point', async () => {
  const config = { type: 'vicreg', projector_dims: [64, 64, 32] }
  const guarded = await train(config)
  expect(collapseOf(guarded.end, {}, guarded.start)).toBeNull()
  const { start, end } = await train({ ...config, std_coeff: 0 })
  expect(collapseOf(end, {}, start)).toBe('point')
})
