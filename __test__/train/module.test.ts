import { expect, test } from 'vitest'
import { Module } from '../../src/train/module.js'
import { buildOptimizers } from '../../src/train/optimization.js'
import { Linear, Sequential, ReLU } from '../../src/nn/index.js'
import { tensor } from '../../src/tensor/index.js'

const batch = { image: tensor([[1, 2]]), index: tensor(BigInt64Array.of(0n)) }
const length = { totalSteps: 100, maxEpochs: 2, accumulateGradBatches: 1 }
const silent = (): void => undefined

test('forward is called with the module as `this`, on the attributes it was given', async () => {
  const module = new Module({
    forward({ image }, stage) {
      return { embedding: this.backbone.forward(image as never), stage, scale: this.scale }
    },
    backbone: new Linear(2, 3),
    scale: 7,
  })
  const outputs = await module.forward(batch, 'validate')
  expect(outputs).toMatchObject({ stage: 'validate', scale: 7 })
  expect([...module.stateDict().keys()]).toEqual(['backbone.weight', 'backbone.bias'])
})

test('what callbacks train is in the state dict and in no main optimizer', () => {
  const module = new Module({ backbone: new Linear(2, 3) })
  module.callbacksModules.set('linear_probe', new Linear(3, 2))
  expect([...module.stateDict().keys()]).toContain('callbacks_modules.linear_probe.weight')
  const [entry] = buildOptimizers(module, undefined, length, silent)
  expect(entry?.optimizer.groups.flatMap((group) => group.params)).toEqual(module['backbone'].parameters())
})

test('a forward that is missing or returns no record is an error', async () => {
  await expect(new Module({}).forward(batch, 'fit')).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  const wrong = new Module({ forward: () => 3 as never })
  await expect(wrong.forward(batch, 'fit')).rejects.toThrow(/must return a record/)
  expect(() => new Module({ forward: 3 as never })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => new Module({ parameters: 3 })).toThrow(/"parameters" is a member of every module/)
})

test('without `optim` it is AdamW with a cosine over the run; null and {} train nothing', () => {
  const module = new Module({ backbone: new Linear(2, 3) })
  const [entry, ...more] = buildOptimizers(module, undefined, length, silent)
  expect(more).toEqual([])
  expect(entry?.optimizer.constructor.name).toBe('AdamW')
  expect(entry?.optimizer.groups[0]?.lr).toBe(1e-3)
  for (let step = 0; step < 100; step++) entry?.scheduler?.step()
  expect(entry?.optimizer.groups[0]?.lr).toBeCloseTo(0, 10)
  expect(buildOptimizers(module, null, length, silent)).toEqual([])
  expect(buildOptimizers(module, {}, length, silent)).toEqual([])
})

test('several optimizers share the modules by pattern; one without parameters is left out and told of', () => {
  const module = new Module({
    backbone: new Sequential(new Linear(2, 4), new ReLU(), new Linear(4, 4)),
    projector: new Linear(4, 2),
  })
  const told: string[] = []
  const entries = buildOptimizers(
    module,
    {
      body: { modules: 'backbone', optimizer: { type: 'SGD', lr: 0.1 }, scheduler: null },
      head: { modules: /projector/, optimizer: { type: 'SGD', lr: 0.2 }, scheduler: null, frequency: 2 },
      ghost: { modules: 'nothing', optimizer: 'SGD' },
    },
    length,
    (line) => told.push(line),
  )
  expect(entries.map(({ name, frequency }) => [name, frequency])).toEqual([
    ['body', 1],
    ['head', 2],
  ])
  expect(entries.map(({ optimizer }) => optimizer.groups.flatMap((group) => group.params).length)).toEqual([4, 2])
  expect(told).toEqual([expect.stringMatching(/ghost.*nothing/)])
})

test('a module without parameters cannot be trained', () => {
  expect(() => buildOptimizers(new Module({}), undefined, length, silent)).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
})
