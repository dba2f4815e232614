/** Every optimizer and scheduler can be named in a configuration, with the defaults its class has in TypeScript. */
import { describe, expect, test } from 'vitest'
import { createScheduler, LRScheduler, optimizerClasses, schedulerClasses, SGD } from '../../src/optim/index.js'
import { zeros } from '../../src/tensor/index.js'
import { build, problemsOf } from './build.js'

const weight = () => zeros([2], { requiresGrad: true })

describe.each(Object.entries(optimizerClasses))('%s', (name, Class) => {
  const targets = { LARS: 'stable_pretraining.optim.LARS', Lion: 'timm.optim.Lion' } as Record<string, string>

  test.each([name, name.toLowerCase()])('is called %s', async (type) => {
    expect(await build('optimizer', type, { params: [{ params: [weight()] }] })).toBeInstanceOf(Class)
  })

  test('answers to its name in PyTorch, and has the defaults of its class', async () => {
    const use = { _target_: targets[name] ?? `torch.optim.${name}`, _partial_: true }
    const made = await build('optimizer', use, { params: [{ params: [weight()] }] })
    expect(made.defaults).toEqual(new Class([{ params: [weight()] }], {} as never).defaults)
  })
})

describe('schedulers', () => {
  const required: Record<string, Record<string, unknown>> = {
    CosineAnnealingWarmRestarts: { T_0: 5 },
    CyclicLR: { base_lr: 0.01, max_lr: 0.1 },
    MultiStepLR: { milestones: [2] },
    SequentialLR: { schedulers: ['StepLR', 'ConstantLR'], milestones: [2] },
    ChainedScheduler: { schedulers: ['StepLR', 'ConstantLR'] },
  }
  // These two are made of functions, which a configuration cannot hold.
  const names = Object.keys(schedulerClasses).filter((name) => !['LambdaLR', 'MultiplicativeLR'].includes(name))
  const optimizerOf = () => new SGD([weight()], { lr: 0.1, momentum: 0.9 })

  test.each(names)('%s by its name, and by its place in its library', async (name) => {
    const module = name.startsWith('LinearWarmup') ? 'stable_pretraining.optim' : 'torch.optim.lr_scheduler'
    for (const use of [{ type: name }, { _target_: `${module}.${name}` }]) {
      const context = { optimizer: optimizerOf(), totalSteps: 100, maxEpochs: 2 }
      const made = await build('scheduler', { ...use, ...required[name] }, context)
      expect(made).toBeInstanceOf(schedulerClasses[name])
    }
  })

  test.each(names.filter((name) => required[name] === undefined))(
    '%s without options is as in TypeScript',
    async (name) => {
      const length = { totalSteps: 400, maxEpochs: 2 }
      const [first, second] = [optimizerOf(), optimizerOf()]
      const ours = createScheduler(first, name, length)
      const named = await build('scheduler', name, { optimizer: second, ...length })
      for (let step = 0; step < 60; step++) {
        expect(second.groups[0]?.lr).toBe(first.groups[0]?.lr)
        ours.step(1)
        named.step(1)
      }
      expect(ours instanceof LRScheduler).toBe(named instanceof LRScheduler)
    },
  )
})

test('the rules of weight decay and PyTorch’s switches are options of every optimizer', async () => {
  const params = [{ params: [zeros([2, 2], { requiresGrad: true }), weight()], names: ['weight', 'bias'] }]
  const use = { type: 'AdamW', exclude_bias_norm: true, fused: true, foreach: null, capturable: false }
  const made = await build('optimizer', use, { params })
  expect(made.groups.map(({ names, weightDecay }) => [weightDecay, names])).toEqual([
    [0.01, ['weight']],
    [0, ['bias']],
  ])
  expect(problemsOf('optimizer', { type: 'Lion', no_weight_decay: 3 })).toEqual([
    expect.stringMatching(/no_weight_decay: expected a text, or a list, got 3/),
  ])
})

test('a probe’s optimizer knows the names of its parameters', async () => {
  const context = { backbone: { dim: 4 }, numClasses: 3, services: {} } as never
  const probe = await build(
    'callback',
    { type: 'OnlineProbe', optimizer: { type: 'SGD', exclude_bias_norm: true } },
    context,
  )
  await probe.setup?.({} as never)
  const [entry] = Object.values(probe.optimizers ?? {}) as Array<{ optimizer: SGD }>
  expect(entry?.optimizer.groups.map(({ names }) => names)).toEqual([['fc.weight'], ['fc.bias']])
})
