/** Each sentence of how `optim` is read: which form it has, its defaults, who trains what, and how long schedules are. */
import { describe, expect, test } from 'vitest'
import { Linear, ReLU, Sequential } from '../../src/nn/index.js'
import { AdamW, ConstantLR, CosineAnnealingLR, LARS, ReduceLROnPlateau, SGD, StepLR } from '../../src/optim/index.js'
import type { ScheduledOptimizer } from '../../src/optim/index.js'
import { Module } from '../../src/train/module.js'
import type { Optim } from '../../src/train/optim-config.js'
import { buildOptimizers, type OptimizerEntry, stepsOfRun } from '../../src/train/optimization.js'

const length = { trainBatches: 50, maxEpochs: 2, maxSteps: Infinity, accumulateGradBatches: 1 }

const network = () =>
  new Module({
    backbone: new Sequential(new Linear(2, 4), new ReLU(), new Linear(4, 4)),
    projector: new Linear(4, 2),
  })

async function built(
  optim: Optim | undefined,
  defaults: Partial<typeof length> & { gradientClipVal?: number } = {},
): Promise<{ entries: OptimizerEntry[]; lines: string[] }> {
  const lines: string[] = []
  const entries = await buildOptimizers(network(), optim, { ...length, ...defaults }, (line) => lines.push(line))
  return { entries, lines }
}

const one = async (optim: Optim | undefined, defaults = {}): Promise<OptimizerEntry> =>
  (await built(optim, defaults)).entries[0] as OptimizerEntry

const counts = (entries: OptimizerEntry[]) =>
  entries.map(({ name, optimizer }) => [name, optimizer.groups.flatMap(({ params }) => params).length])

describe('one optimizer', () => {
  test('absent: AdamW at its own rate and a cosine over the run, over all parameters', async () => {
    const { entries, lines } = await built(undefined)
    const [entry] = entries as [OptimizerEntry]
    expect(counts(entries)).toEqual([['default_0', 6]])
    expect(entry.optimizer).toBeInstanceOf(AdamW)
    expect(entry.optimizer.groups[0]?.lr).toBe(1e-3)
    expect(entry.scheduler).toBeInstanceOf(CosineAnnealingLR)
    for (let step = 0; step < 100; step++) entry.scheduler?.step()
    expect(entry.optimizer.groups[0]?.lr).toBeCloseTo(0, 10)
    expect(lines).toEqual([])
  })

  test('null and {}: none', async () => {
    expect((await built(null)).entries).toEqual([])
    expect((await built({})).entries).toEqual([])
  })

  test('a function or a name alone is the optimizer', async () => {
    expect((await one((groups) => new SGD(groups, { lr: 3 }))).optimizer.groups[0]?.lr).toBe(3)
    expect((await one('LARS')).optimizer).toBeInstanceOf(LARS)
  })

  test.each<[string, Optim]>([
    ['a name', { optimizer: 'SGD' }],
    ['options with a type', { optimizer: { type: 'SGD', lr: 0.1 } }],
    ['a class', { optimizer: SGD as never }],
    ['a function', { optimizer: (groups) => new SGD(groups) }],
    ['a function that waits', { optimizer: async (groups) => new SGD(groups) }],
  ])('`optimizer` may be %s', async (_, optim) => {
    expect((await one(optim)).optimizer).toBeInstanceOf(SGD)
  })

  test('a scheduler may be null, a name, a class, options, or a function, also one that waits', async () => {
    expect((await one({ scheduler: null })).scheduler).toBeUndefined()
    expect((await one({ scheduler: 'StepLR' })).scheduler).toBeInstanceOf(StepLR)
    expect((await one({ scheduler: StepLR as never })).scheduler).toBeInstanceOf(StepLR)
    expect((await one({ scheduler: { type: 'StepLR', stepSize: 3 } })).scheduler).toBeInstanceOf(StepLR)
    const given: unknown[] = []
    const scheduler = async (optimizer: ScheduledOptimizer, run: unknown) => {
      given.push(run)
      return new ConstantLR(optimizer)
    }
    expect((await one({ scheduler })).scheduler).toBeInstanceOf(ConstantLR)
    expect(given).toEqual([{ totalSteps: 100, maxEpochs: 2 }])
  })

  test('options other than the optimizer make it the single form too', async () => {
    expect((await one({ frequency: 4 })).optimizer).toBeInstanceOf(AdamW)
    expect((await one({ interval: 'epoch', schedulerFrequency: 2, scheduler: 'StepLR' })).scheduler).toBeInstanceOf(
      StepLR,
    )
  })

  test('its frequency is its own, else the trainer’s accumulation', async () => {
    expect((await one({ frequency: 4 }, { accumulateGradBatches: 3 })).frequency).toBe(4)
    expect((await one(undefined, { accumulateGradBatches: 3 })).frequency).toBe(3)
  })

  test('clipping is its own, else the trainer’s; null is none', async () => {
    expect(await one({ optimizer: 'SGD' }, { gradientClipVal: 2 })).toMatchObject({ gradientClipVal: 2 })
    expect(await one({ gradientClipVal: 1, gradientClipAlgorithm: 'value' }, { gradientClipVal: 2 })).toMatchObject({
      gradientClipVal: 1,
      gradientClipAlgorithm: 'value',
    })
    expect((await one({ gradientClipVal: null }, { gradientClipVal: 2 })).gradientClipVal).toBeUndefined()
  })

  test('the metric of ReduceLROnPlateau: in the scheduler, else beside it, else val_loss; others watch none', async () => {
    const scheduler = { type: 'ReduceLROnPlateau', monitor: 'inner' }
    expect((await one({ scheduler, monitor: 'outer' })).monitor).toBe('inner')
    expect((await one({ scheduler: 'ReduceLROnPlateau', monitor: 'outer' })).monitor).toBe('outer')
    const bare = await one({ scheduler: 'ReduceLROnPlateau' })
    expect(bare.monitor).toBe('val_loss')
    expect(bare.scheduler).toBeInstanceOf(ReduceLROnPlateau)
    expect((await one({ monitor: 'outer' })).monitor).toBeUndefined()
  })
})

describe('several optimizers', () => {
  const sgd = (lr: number) => ({ optimizer: { type: 'SGD', lr }, scheduler: null })

  test('share the modules by pattern; each has a schedule of its own over its own steps', async () => {
    const { entries } = await built({
      body: { modules: 'backbone', optimizer: { type: 'SGD', lr: 0.1 } },
      head: { modules: /projector/, optimizer: { type: 'SGD', lr: 0.2 }, frequency: 2 },
    })
    expect(counts(entries)).toEqual([
      ['body', 4],
      ['head', 2],
    ])
    expect(entries.every(({ scheduler }) => scheduler instanceof CosineAnnealingLR)).toBe(true)
    const [body, head] = entries as [OptimizerEntry, OptimizerEntry]
    for (let step = 0; step < 50; step++) head.scheduler?.step()
    expect(head.optimizer.groups[0]?.lr).toBeCloseTo(0, 10)
    expect(body.optimizer.groups[0]?.lr).toBe(0.1)
  })

  test('one that nothing matches is told of and left out', async () => {
    const { entries, lines } = await built({
      body: { modules: 'backbone', ...sgd(1) },
      ghost: { modules: 'nothing', ...sgd(1) },
    })
    expect(entries.map(({ name }) => name)).toEqual(['body'])
    expect(lines).toContain('optimizer "ghost": no parameter matches nothing; it is left out')
  })

  test('a table says who trains what', async () => {
    const module = network()
    module['projector'].bias!.requiresGrad = false
    const lines: string[] = []
    const optim = { body: { modules: 'backbone', ...sgd(1) }, head: { modules: /pro/, ...sgd(1) } }
    await buildOptimizers(module, optim, length, (line) => lines.push(line))
    expect(lines).toEqual([
      [
        'optimizer  pattern   modules  tensors  parameters  tensors with gradient',
        'body       backbone        4        4          32                      4',
        'head       /pro/           1        2          10                      1',
      ].join('\n'),
    ])
  })

  test('excludeBiasNorm goes by the full names', async () => {
    const { entries } = await built({
      head: { modules: 'projector', optimizer: { type: 'SGD', weightDecay: 1, excludeBiasNorm: true } },
    })
    expect(entries[0]?.optimizer.groups.map(({ names, weightDecay }) => [weightDecay, names])).toEqual([
      [1, ['projector.weight']],
      [0, ['projector.bias']],
    ])
  })
})

describe('the steps of a run', () => {
  const run = { trainBatches: 7, maxEpochs: 3, maxSteps: Infinity }
  test.each<[string, Optim | undefined, Partial<typeof run>, number, number]>([
    ['all batches', undefined, {}, 1, 21],
    ['windows, the last of an epoch shorter', undefined, {}, 3, 9],
    ['the optimizer’s own frequency', { frequency: 7 }, {}, 3, 3],
    ['at most so many', undefined, { maxSteps: 5 }, 3, 5],
    ['of the first of several', { a: { modules: 'x', frequency: 7 }, b: { modules: 'y' } }, {}, 1, 3],
    ['no data', undefined, { trainBatches: 0, maxEpochs: Infinity }, 1, 0],
  ])('%s', (_, optim, part, accumulate, expected) => {
    expect(stepsOfRun(optim, { ...run, ...part }, accumulate)).toBe(expected)
  })

  test('a limit of steps counts those of the first optimizer', async () => {
    const { entries } = await built(
      { body: { modules: 'backbone', frequency: 2 }, head: { modules: 'projector', frequency: 1 } },
      { maxSteps: 10 },
    )
    const [, head] = entries as [OptimizerEntry, OptimizerEntry]
    const rate = head.optimizer.groups[0]?.lr ?? 0
    for (let step = 0; step < 20; step++) head.scheduler?.step()
    expect(rate).toBe(1e-3)
    expect(head.optimizer.groups[0]?.lr).toBeCloseTo(0, 10)
  })
})

describe('mistakes', () => {
  test.each<[string, unknown, RegExp]>([
    ['a number', 3, /optim: expected an object, a name, a function or null, got 3/],
    [
      'an unknown key',
      { optimizer: 'SGD', shceduler: null },
      /optim: unknown key "shceduler"; did you mean "scheduler"/,
    ],
    ['a misspelt optimizer', { optimiser: 'SGD' }, /optim.optimiser: expected an optimizer of its own/],
    [
      'one without modules',
      { a: { modules: 'x' }, b: { optimizer: 'SGD' } },
      /optim.b: expected an optimizer of its own/,
    ],
    ['a name among several', { a: { modules: 'x' }, b: 'SGD' }, /optim.b: expected an optimizer of its own/],
    ['modules that are no expression', { a: { modules: 3 } }, /optim.a.modules: expected a regular expression, got 3/],
    ['a broken expression', { a: { modules: '(' } }, /"a": "\(" is not a regular expression/],
    [
      'a key of one of several',
      { a: { modules: 'x', frequncy: 2 } },
      /optim.a: unknown key "frequncy"; did you mean "frequency"/,
    ],
    ['a frequency of 0', { frequency: 0 }, /optim.frequency: expected an integer of at least 1, got 0/],
    ['half a batch', { a: { modules: 'x', frequency: 0.5 } }, /optim.a.frequency/],
    ['an interval', { interval: 'batch' }, /optim.interval: expected "step" or "epoch"/],
    ['an algorithm', { gradientClipAlgorithm: 'norms' }, /optim.gradientClipAlgorithm/],
    ['a clip of 0', { gradientClipVal: 0 }, /optim.gradientClipVal: expected a positive number, got 0/],
    ['an unknown optimizer', { optimizer: 'SDG' }, /unknown optimizer "SDG"; did you mean "SGD"/],
    ['an unknown scheduler', { scheduler: 'Cosine' }, /unknown scheduler "Cosine"/],
  ])('%s', async (_, optim, message) => {
    await expect(built(optim as never)).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringMatching(message) as string,
    })
  })

  test('the hint of a misspelt key of the single form names it', async () => {
    await expect(built({ optimiser: 'SGD' } as never)).rejects.toMatchObject({
      hint: 'For one optimizer alone the key is "optimizer".',
    })
  })

  test('a module without parameters cannot be trained', async () => {
    await expect(buildOptimizers(new Module({}), undefined, length, () => undefined)).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringContaining('has no parameters to train') as string,
    })
  })
})
