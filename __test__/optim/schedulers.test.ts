/** Schedules against torch where the reference vectors are thin, stable-pretraining's defaults, states and mistakes. */
import { describe, expect, test } from 'vitest'
import {
  type ChainableScheduler,
  ChainedScheduler,
  ConstantLR,
  CosineAnnealingLR,
  createScheduler,
  CyclicLR,
  LinearLR,
  OneCycleLR,
  ReduceLROnPlateau,
  schedulerClasses,
  SequentialLR,
  SGD,
  StepLR,
  type Optimizer,
} from '../../src/optim/index.js'
import { zeros } from '../../src/tensor/index.js'
import { camel, schedulerCases } from './torch.js'

const optimizerOf = (...rates: number[]): Optimizer =>
  new SGD(
    rates.map((lr) => ({ params: [zeros([1])], lr })),
    { momentum: 0.9 },
  )

const nothing = { totalSteps: 0, maxEpochs: 0 }

describe('as in torch', () => {
  test.each(schedulerCases.map((made, index) => [`${made.scheduler} (${index})`, made] as const))('%s', (_, made) => {
    const optimizer = optimizerOf(0.1, 0.03)
    const { schedulers, ...options } = made.options
    const members = schedulers?.map(([type, given]) => createScheduler(optimizer, { type, ...camel(given) }, nothing))
    const config = { type: made.scheduler, ...camel(options), ...(members && { schedulers: members }) }
    const scheduler = createScheduler(optimizer, config, nothing)
    made.lr.forEach((expected, step) => {
      if (step > 0) scheduler.step()
      optimizer.groups.forEach((group, index) => {
        expect(group.lr).toBeCloseTo(expected[index] as number, 12)
        expect(group['momentum']).toBeCloseTo(made.momentum[step]?.[index] as number, 12)
      })
    })
  })

  test('a wave of one’s own is scaled by the number of the cycle, or by the step', () => {
    const rates = (scaleMode: 'cycle' | 'iterations'): number[] => {
      const optimizer = optimizerOf(1)
      const scaleFn = (at: number) => 1 / at
      const scheduler = new CyclicLR(optimizer, { baseLr: 0, maxLr: 1, stepSizeUp: 2, scaleFn, scaleMode })
      return Array.from({ length: 6 }, () => {
        scheduler.step()
        return optimizer.groups[0]?.lr ?? NaN
      })
    }
    expect(rates('cycle')).toEqual([0.5, 1, 0.5, 0, 0.25, 0.5])
    expect(rates('iterations')).toEqual([0.5, 0.5, 0.5 / 3, 0, 0.1, 1 / 6])
  })
})

describe('what the length of the run fills in', () => {
  const length = { totalSteps: 1000, maxEpochs: 100 }
  const after = (config: string | Record<string, unknown>, steps: number, lr = 1): number => {
    const optimizer = optimizerOf(lr)
    const scheduler = createScheduler(optimizer, config as never, length)
    for (let step = 0; step < steps; step++) scheduler.step()
    return optimizer.groups[0]?.lr ?? NaN
  }

  test('without a type it is a cosine over the run', () => {
    expect(after({}, 500)).toBeCloseTo(0.5, 10)
    expect(after('CosineAnnealingLR', 1000)).toBeCloseTo(0, 10)
  })

  test.each([
    ['LinearWarmup', 10],
    ['LinearWarmupCosineAnnealing', 10],
    ['LinearWarmupCyclicAnnealing', 100],
    ['LinearWarmupThreeStepsAnnealing', 50],
    ['LinearWarmupCosineAnnealingLR', 10],
  ])('%s reaches the rate after %i of 1000 steps', (name, peak) => {
    expect(after(name, peak)).toBeCloseTo(1, 10)
    expect(after(name, peak - 1)).toBeLessThan(1)
  })

  test('a run of exactly the default OneCycleLR’s steps comes to its end', () => {
    expect(() => after('OneCycleLR', 1000)).not.toThrow()
    expect(() => after('OneCycleLR', 1001)).toThrow(/step 1001 of a OneCycleLR with totalSteps 1000/)
  })

  test('with some options given, the others keep their class’s defaults', () => {
    expect(after({ type: 'LinearWarmup', startFactor: 0.5 }, 99)).toBeLessThan(1)
    expect(after({ type: 'LinearWarmup', startFactor: 0.5 }, 100)).toBeCloseTo(1, 10)
    expect(after({ type: 'StepLR', gamma: 0.5 }, 30)).toBe(0.5)
  })

  test('a class, a function and a name in any case will do', () => {
    expect(after(StepLR as never, 30)).toBeCloseTo(0.1, 10)
    expect(after({ type: ConstantLR, factor: 0.5 }, 0)).toBe(0.5)
    expect(after('steplr', 30)).toBeCloseTo(0.1, 10)
    const made = createScheduler(optimizerOf(1), (optimizer) => new StepLR(optimizer, { stepSize: 2 }), length)
    expect(made).toBeInstanceOf(StepLR)
  })
})

describe('states', () => {
  const configs: Array<string | Record<string, unknown>> = [
    'CosineAnnealingLR',
    'OneCycleLR',
    'LinearWarmupCosineAnnealing',
    'LinearWarmupThreeStepsAnnealing',
    { type: 'CyclicLR', baseLr: 0.01, maxLr: 0.1, stepSizeUp: 3 },
    { type: 'ReduceLROnPlateau', patience: 1 },
  ]
  test.each(configs)('%j goes on from a state that went through JSON', async (config) => {
    const length = { totalSteps: 40, maxEpochs: 2 }
    const [first, second] = [optimizerOf(0.5), optimizerOf(0.5)]
    const whole = createScheduler(first, config as never, length)
    for (let step = 0; step < 9; step++) whole.step(1)
    const again = createScheduler(second, config as never, length)
    await second.loadStateDict(first.stateDict())
    again.loadState(JSON.parse(JSON.stringify(whole.state())) as Record<string, unknown>)
    for (let step = 0; step < 9; step++) {
      whole.step(1)
      again.step(1)
      expect(second.groups[0]?.lr).toBe(first.groups[0]?.lr)
    }
  })

  test('of another scheduler are refused', () => {
    const scheduler = new StepLR(optimizerOf(1), { stepSize: 1 })
    expect(() => scheduler.loadState({ best: 1 })).toThrow(expect.objectContaining({ code: 'ERR_CHECKPOINT' }))
  })
})

describe('mistakes', () => {
  const create = (config: Record<string, unknown> | string) => () =>
    createScheduler(optimizerOf(1), config as never, { totalSteps: 10, maxEpochs: 1 })
  test.each([
    [
      'an unknown name',
      create('CosineAnealingLR'),
      /unknown scheduler "CosineAnealingLR"; did you mean "CosineAnnealingLR"/,
    ],
    [
      'an unknown option',
      create({ type: 'StepLR', stepsize: 3 }),
      /StepLR has no option "stepsize"; did you mean "stepSize"/,
    ],
    ['a missing option', create('MultiStepLR'), /MultiStepLR needs milestones/],
    ['two missing options', create('CyclicLR'), /CyclicLR needs baseLr and maxLr/],
    ['a factor out of range', create({ type: 'ConstantLR', factor: 2 }), /factor is 2/],
    ['a warm-up from nothing', create({ type: 'LinearLR', startFactor: 0 }), /startFactor is 0/],
    ['a step size of 0', create({ type: 'StepLR', stepSize: 0 }), /stepSize is 0/],
    ['no steps', () => new CosineAnnealingLR(optimizerOf(1), { tMax: 0 }), /tMax is 0/],
    [
      'a share above 1',
      () => new OneCycleLR(optimizerOf(1), { maxLr: 1, totalSteps: 9, pctStart: 2 }),
      /pctStart is 2/,
    ],
    ['a factor that raises', () => new ReduceLROnPlateau(optimizerOf(1), { factor: 1 }), /factor is 1/],
    ['a plateau without its metric', () => new ReduceLROnPlateau(optimizerOf(1)).step(), /needs the metric/],
  ])('%s', (_, make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(message) }))
  })

  test('parts of a schedule that have no beginning, another optimizer, or too few milestones', () => {
    const optimizer = optimizerOf(1)
    const line = new LinearLR(optimizer)
    const plateau = new ReduceLROnPlateau(optimizer) as unknown as ChainableScheduler
    expect(() => new ChainedScheduler(optimizer, { schedulers: [line, plateau] })).toThrow(/ReduceLROnPlateau cannot/)
    const other = new LinearLR(optimizerOf(1))
    expect(() => new SequentialLR(optimizer, { schedulers: [line, other], milestones: [3] })).toThrow(
      /another optimizer/,
    )
    expect(() => new SequentialLR(optimizer, { schedulers: [line], milestones: [3] })).toThrow(
      /need 0 milestones, got 1/,
    )
    expect(() => new ChainedScheduler(optimizer, { schedulers: [] })).toThrow(/got none/)
  })

  test('every class can be named', () => {
    expect(Object.keys(schedulerClasses)).toHaveLength(20)
  })
})
