/** A method as a module from TypeScript: its networks, its options, and the messages when they are wrong. */
import { expect, test } from 'vitest'
import { createModule, nn, Trainer } from '../../src/index.js'
import { flowers, smallBackbone } from '../train/setup.js'

const small = { type: 'byol', projectorDims: [8, 4], predictorDims: [8, 4] }

test('its networks have their names, and its teacher moves while it trains', async () => {
  const backbone = smallBackbone()
  const module = await createModule(small, { backbone, dim: 8, optim: { optimizer: 'SGD', scheduler: null } })
  const children = [...module.namedChildren()].map(([name]) => name)
  expect(children).toEqual(expect.arrayContaining(['backbone', 'projector', 'predictor']))
  expect(module.hparams).toMatchObject({ method: 'byol', projectorDims: [8, 4], emaInterval: 'epoch' })
  const teacher = module.stateDict().get('backbone.teacher.0.weight')!
  const before = await teacher.clone().data()
  await new Trainer({ maxSteps: 2, numSanityValSteps: 0, limitValBatches: 1, logger: false }).fit(
    module,
    await flowers(),
  )
  expect(await teacher.data()).not.toEqual(before)
})

test('the width is the backbone’s own where it says one', async () => {
  const module = await createModule({ type: 'vicreg', projector_dims: [4] }, { backbone: new nn.ResNet9() })
  expect(module.stateDict().get('projector.0.weight')?.shape).toEqual([4, 1024])
  await expect(createModule(small, { backbone: smallBackbone() })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('a misspelt method or option is told with the nearest name', async () => {
  const backbone = smallBackbone()
  await expect(createModule('byo', { backbone, dim: 8 })).rejects.toThrow(/byo.*did you mean "byol"/s)
  await expect(createModule({ ...small, projectorDim: 3 }, { backbone, dim: 8 })).rejects.toThrow(
    /createModule: method.projectorDim: .*did you mean "projector_dims"/,
  )
})
