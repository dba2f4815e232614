/**
 * Every method on real photos by the recipe of its own: thirty steps lower its loss, or bring views of one photo nearer to
 * each other than to other photos; the number of loader workers changes nothing.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DataLoader, DataModule, readCifar, type MultiView, type Transform } from '../../../src/data/index.js'
import type { Backbone, Method } from '../../../src/plugin/contracts.js'
import type { Definition } from '../../../src/plugin/define.js'
import { loadRegistry } from '../../../src/plugin/registry.js'
import { cat, manualSeed, noGrad, scope, type Tensor } from '../../../src/index.js'
import { Module, Trainer } from '../../../src/train/index.js'
import { smallBackbone, smallTransformer } from '../../../src/testing/synthetic.js'
import { build } from '../build.js'
import { smallMethods } from '../small-methods.js'

const { entries } = await loadRegistry()
const methods = entries.flatMap(({ definition, origin }) =>
  definition.kind === 'method' && origin === 'built-in' ? [definition as Definition<'method'>] : [],
)
const classes = ['daisy', 'roses', 'tulips']
const photos = await readCifar({
  files: [join(import.meta.dirname, '../../fixtures/data/photos-cifar10-layout.bin')],
  labelBytes: 1,
  labelByte: 0,
  classes,
  name: 'photos',
})
const side = 32

interface Trained {
  method: Method
  losses: number[]
}

async function train(definition: Definition<'method'>, steps: number, numWorkers: number): Promise<Trained> {
  const { name, needs, recipe = 'simclr' } = definition
  manualSeed(0)
  const backbone = needs.backbone === 'any' ? smallBackbone() : smallTransformer(side)
  const { config } = smallMethods[`method ${name}`] ?? {}
  const context = { backbone: backbone as Backbone & { name: string }, numClasses: 3, totalSteps: 30, seed: 0 }
  const method = await build('method', { type: name, ...config }, context)
  const module = new Module({
    ...method.modules,
    forward: (batch, stage, progress) => method.forward(batch, stage, progress),
    afterStep: (step: number, progress) => method.afterStep?.(step, progress),
    optim: { optimizer: { type: 'AdamW', lr: 3e-3 }, scheduler: null },
  })
  const transform = (await build('transform', { type: recipe, size: side, statistics: 'ImageNet' }, {})) as
    | MultiView
    | Transform
  const loader = new DataLoader({ dataset: photos, batchSize: 9, shuffle: true, numWorkers, transform, seed: 0 })
  const losses: number[] = []
  const logger = { logMetrics: (logged: object) => void losses.push(...numbersOf(logged, 'fit/loss_step')) }
  const options = { maxEpochs: 30, maxSteps: steps, numSanityValSteps: 0, logEveryNSteps: 1, logger }
  await new Trainer(options).fit(module, new DataModule({ train: loader }))
  return { method, losses }
}

const numbersOf = (logged: object, key: string): number[] =>
  key in logged ? [(logged as Record<string, number>)[key]!] : []

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
    const before = byProbe ? await togetherness((await train(definition, 0, 0)).method) : NaN
    const { method, losses } = await train(definition, 30, 1)
    expect(losses).toHaveLength(30)
    const [first, last] = [mean(losses.slice(0, 5)), mean(losses.slice(-5))]
    const [less, more] = byProbe ? [before, await togetherness(method)] : [last, first]
    expect(less).toBeLessThan(more!)
    expect((await train(definition, 5, 2)).losses).toEqual(losses.slice(0, 5))
  })
})
