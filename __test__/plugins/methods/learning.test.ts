/**
 * Every method on real photos by the recipe of its own: thirty steps lower its loss, or bring views of one photo nearer to
 * each other than to other photos; the number of loader workers changes nothing.
 */
import { expect, test } from 'vitest'
import { DataLoader, type MultiView } from '../../../src/data/index.js'
import type { Method } from '../../../src/plugin/contracts.js'
import { cat, noGrad, scope, type Tensor } from '../../../src/index.js'
import { build } from '../build.js'
import { methods, photos, side, train } from './photos.js'

/** Variance of the photos' means over that of the views about the mean of their photo, for eight views of each photo. */
async function togetherness({ modules, forward }: Method): Promise<number> {
  const transform = (await build(
    'transform',
    { type: 'simclr', size: side, copies: 1, statistics: 'ImageNet' },
    {},
  )) as MultiView
  const loader = new DataLoader({ dataset: photos, batchSize: 9, numWorkers: 0, transform, seed: 1 })
  const parts: Tensor[] = []
  for (const module of Object.values(modules)) (module as { eval(): unknown }).eval()
  const place = { step: 0, batch: 0, epoch: 0, maxEpochs: 1, totalSteps: 1 }
  for (let epoch = 0; epoch < 8; epoch++) {
    loader.setEpoch(epoch)
    for await (const { views, index } of loader) {
      const { embedding } = await noGrad(() => forward({ image: views![0]!.image, index } as never, 'validate', place))
      parts.push((embedding as Tensor).detach().clone())
    }
  }
  const all = cat(parts.map((part) => part.unsqueeze(0))) // [views, photos, dim]
  const means = all.mean(0, true)
  const within = await all.sub(means).square().mean().item()
  return (await means.sub(means.mean(1, true)).square().mean().item()) / within
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

test.each(methods.map((definition) => [definition.name, definition] as const))('%s', async (_, definition) => {
  await scope(async () => {
    const byProbe = definition.evidence === 'probe'
    const before = byProbe ? await togetherness((await train(definition, 0)).method) : NaN
    const { method, losses } = await train(definition, 30)
    expect(losses).toHaveLength(30)
    const [first, last] = [mean(losses.slice(0, 5)), mean(losses.slice(-5))]
    const [less, more] = byProbe ? [before, await togetherness(method)] : [last, first]
    expect(less).toBeLessThan(more!)
    expect((await train(definition, 5, { numWorkers: 2 })).losses).toEqual(losses.slice(0, 5))
  })
})
