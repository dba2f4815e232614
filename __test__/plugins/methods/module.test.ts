/** Modules composed in a configuration: equal to the method of that name, in this package's form and in Hydra's. */
import { expect, test } from 'vitest'
import { checkViews } from '../../../src/app/views.js'
import type { Definition } from '../../../src/plugin/define.js'
import type { Method } from '../../../src/plugin/contracts.js'
import { manualSeed, scope, type Tensor, type TeacherStudentWrapper } from '../../../src/index.js'
import { smallBackbone, syntheticBatch } from '../../../src/testing/synthetic.js'
import { build } from '../build.js'

const batch = syntheticBatch(0, { batchSize: 8, classes: 4, side: 16 })
const place = { step: 0, batch: 0, epoch: 0, maxEpochs: 4, totalSteps: 8 }

const make = (config: object): Promise<Method> => {
  manualSeed(0)
  return build('method', config, { backbone: smallBackbone(), totalSteps: 8, seed: 0 } as never)
}
const lossOf = (method: Method): Promise<number> =>
  scope(async () => {
    const { loss } = (await method.forward(batch, 'fit', place)) as { loss: Tensor }
    loss.backward()
    return loss.item()
  })

test('simclr by its parts is simclr, in plain words and with _target_ and _args_', async () => {
  const projector = { type: 'projector', dims: [32, 64, 16], bias: false, last_norm: 'scale' }
  const expected = await lossOf(await make({ type: 'simclr', projector_dims: [64, 16], temperature: 0.2 }))
  const plain = { forward: 'simclr', parts: { projector, simclr_loss: { type: 'NTXEntLoss', temperature: 0.2 } } }
  expect(await lossOf(await make({ type: 'module', ...plain }))).toBe(expected)
  const hydra = {
    _target_: 'stable_pretraining.Module',
    forward: 'stable_pretraining.forward.simclr_forward',
    parts: { projector, simclr_loss: { _target_: 'stable_pretraining.losses.NTXEntLoss', _args_: [0.2] } },
  }
  expect(await lossOf(await make(hydra))).toBe(expected)
})

test('layers of torch.nn in a row', async () => {
  const linear = (_args_: unknown[]) => ({ _target_: 'torch.nn.Linear', _args_ })
  const layers = [
    linear([32, 64]),
    { _target_: 'torch.nn.BatchNorm1d', num_features: 64 },
    'torch.nn.ReLU',
    linear([64, 16, false]),
  ]
  const projector = { _target_: 'torch.nn.Sequential', _args_: layers }
  const composed = await make({ type: 'module', forward: 'vicreg', parts: { projector, vicreg_loss: 'VICRegLoss' } })
  expect(await lossOf(composed)).toBe(await lossOf(await make({ type: 'vicreg', projector_dims: [64, 16] })))
})

test('byol by its parts moves its teachers as byol does', async () => {
  const teacher = { base_ema_coefficient: 0.5, final_ema_coefficient: 1 }
  const perceptron = (...dims: number[]) => ({ type: 'projector', dims })
  const composed = await make({
    type: 'module',
    forward: 'byol',
    ema_interval: 'step',
    parts: {
      backbone: { type: 'teacher-student', ...teacher },
      projector: { type: 'TeacherStudentWrapper', student: perceptron(32, 16, 8), ...teacher },
      predictor: perceptron(8, 16, 8),
      byol_loss: 'BYOLLoss',
    },
  })
  const small = { type: 'byol', projector_dims: [16, 8], predictor_dims: [16, 8], ema_decay_start: 0.5 }
  expect(await lossOf(composed)).toBe(await lossOf(await make({ ...small, ema_interval: 'step' })))
  await composed.afterStep!(6, place)
  const { emaCoefficient } = composed.modules['backbone'] as unknown as TeacherStudentWrapper
  expect(await emaCoefficient.item()).toBeCloseTo(1 - 0.25 * (1 + Math.cos((5 * Math.PI) / 8)), 6)
})

test('what cannot be composed is told', async () => {
  await expect(make({ type: 'module', forward: 'mae' })).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED',
    message: expect.stringContaining('mae has no forward without state') as string,
  })
  await expect(make({ type: 'module', forward: 'simclr', parts: { simclr_loss: 'NTXentLos' } })).rejects.toThrow(
    /did you mean .*NTXEntLoss/,
  )
  const tooMany = { _target_: 'stable_pretraining.losses.NTXEntLoss', _args_: [0.5, 1] }
  await expect(make({ type: 'module', forward: 'simclr', parts: { simclr_loss: tooMany } })).rejects.toThrow(
    /positional arguments/,
  )
  const lacking = await make({ type: 'module', forward: 'simclr', parts: { simclr_loss: 'NTXEntLoss' } })
  expect(() => lacking.forward(batch, 'fit', place)).toThrow(
    expect.objectContaining({ code: 'ERR_CONFIG', message: expect.stringContaining('"projector"') as string }),
  )
})

test('a module asks for no views before its forward does', () => {
  const definition = { name: 'module', needs: { views: 1, backbone: 'any' } } as unknown as Definition<'method'>
  expect(() => checkViews(definition, { transform: { steps: [] }, batchTransform: [] })).not.toThrow()
})
