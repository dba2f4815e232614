import { expect, test } from 'vitest'
import { Module } from '../../src/train/module.js'
import { buildOptimizers } from '../../src/train/optimization.js'
import { Linear } from '../../src/nn/index.js'
import { tensor } from '../../src/tensor/index.js'

const batch = { image: tensor([[1, 2]]), index: tensor(BigInt64Array.of(0n)) }
const length = { trainBatches: 50, maxEpochs: 2, maxSteps: Infinity, accumulateGradBatches: 1 }
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

test('what callbacks train is in the state dict and in no main optimizer', async () => {
  const module = new Module({ backbone: new Linear(2, 3) })
  module.callbacksModules.set('linear_probe', new Linear(3, 2))
  expect([...module.stateDict().keys()]).toContain('callbacks_modules.linear_probe.weight')
  const [entry] = await buildOptimizers(module, undefined, length, silent)
  expect(entry?.optimizer.groups.flatMap((group) => group.params)).toEqual(module['backbone'].parameters())
})

test('a forward that is missing or returns no record is an error', async () => {
  await expect(new Module({}).forward(batch, 'fit')).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  const wrong = new Module({ forward: () => 3 as never })
  await expect(wrong.forward(batch, 'fit')).rejects.toThrow(/must return a record/)
  expect(() => new Module({ forward: 3 as never })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => new Module({ parameters: 3 })).toThrow(/"parameters" is a member of every module/)
})
