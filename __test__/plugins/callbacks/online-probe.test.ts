import { expect, test } from 'vitest'
import { OnlineProbe } from '../../../plugins/callbacks/online-probe.js'
import { Linear } from '../../../src/nn/index.js'
import { manualSeed, type Tensor } from '../../../src/tensor/index.js'
import { Trainer } from '../../../src/train/index.js'
import { flowers, smallSimclr } from '../../train/setup.js'

const probe = (name = 'linear_probe'): OnlineProbe => new OnlineProbe({ name, probe: () => new Linear(8, 3) })

const values = async (tensors: Iterable<[string, Tensor]>): Promise<Record<string, unknown>> =>
  Object.fromEntries(await Promise.all([...tensors].map(async ([name, value]) => [name, await value.data()])))

test('no gradient of the probe reaches the backbone: trained beside it, the backbone is the same to the last bit', async () => {
  const weights = async (callbacks: OnlineProbe[]): Promise<Record<string, unknown>> => {
    const module = smallSimclr()
    await new Trainer({ maxEpochs: 3, callbacks }).fit(module, await flowers())
    return values([...module.stateDict()].filter(([name]) => !name.startsWith('callbacks_')))
  }
  expect(await weights([probe()])).toEqual(await weights([]))
})

test('its parameters and those of the backbone are in different optimizers, all of them in one', async () => {
  const module = smallSimclr()
  const trainer = new Trainer({ maxEpochs: 1, callbacks: [probe('a'), probe('b')] })
  await trainer.fit(module, await flowers())
  expect(trainer.optimizers.map(({ name }) => name)).toEqual(['default_0', 'a', 'b'])
  const owned = trainer.optimizers.flatMap(({ optimizer }) => optimizer.groups.flatMap((group) => group.params))
  expect(new Set(owned).size).toBe(owned.length)
  expect(new Set(owned)).toEqual(new Set(module.parameters()))
  const [main] = trainer.optimizers
  const names = new Map([...module.namedParameters()].map(([name, parameter]) => [parameter, name]))
  for (const parameter of main?.optimizer.groups.flatMap((group) => group.params) ?? []) {
    expect(names.get(parameter)).not.toMatch(/callbacks_/)
  }
})

test('it learns, and logs its loss and accuracy', async () => {
  const module = smallSimclr()
  const trainer = new Trainer({ maxEpochs: 1, callbacks: [probe()] })
  await trainer.fit(module, await flowers())
  const first = trainer.latest.get('train/linear_probe_loss_epoch') as number
  expect(trainer.latest.get('eval/linear_probe_top1')).toBeGreaterThanOrEqual(0)

  const longer = new Trainer({ maxEpochs: 40, callbacks: [probe()] })
  await longer.fit(smallSimclr(), await flowers())
  expect(longer.latest.get('train/linear_probe_loss_epoch')).toBeLessThan(first)
  expect(longer.latest.get('train/linear_probe_top1')).toBeGreaterThan(1 / 3)
})

test('without another loss it trains alone', async () => {
  const module = smallSimclr({ optim: null })
  const trainer = new Trainer({ maxEpochs: 1, callbacks: [probe()] })
  const before = await values([...module.stateDict()].filter(([name]) => name.endsWith('weight')))
  await trainer.fit(module, await flowers())
  expect(trainer.globalStep).toBe(4)
  expect(
    await values([...module.stateDict()].filter(([name]) => name.endsWith('weight') && !name.startsWith('callbacks_'))),
  ).toEqual(before)
})

test('measuring a frozen backbone draws nothing from the run’s random numbers', async () => {
  manualSeed(5)
  const one = probe()
  const { defaultGenerator, randn, randint } = await import('../../../src/tensor/index.js')
  const features = { embedding: randn([30, 8]), label: randint(0, 3, [30]) }
  const before = defaultGenerator.getState()
  const options = { steps: 60, batchSize: 16, seed: 1 }
  const found = await one.measureFrozen(features, features, options)
  expect(defaultGenerator.getState()).toEqual(before)
  expect(await one.measureFrozen(features, features, options)).toEqual(found)
  expect(found['top1']).toBeGreaterThan(1 / 3)
})

test('a missing label is named, with what there is', async () => {
  const wrong = new OnlineProbe({ name: 'p', target: 'klass', probe: () => new Linear(8, 3) })
  await expect(new Trainer({ callbacks: [wrong] }).fit(smallSimclr(), await flowers())).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
    message: expect.stringContaining('"klass"') as string,
    hint: expect.stringContaining('embedding') as string,
  })
})
