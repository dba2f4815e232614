/** The weight decay along a run: its shape, the groups that follow, and a resumed run. */
import { expect, test } from 'vitest'
import { WeightDecayUpdater, type WeightDecayUpdaterOptions } from '../../../plugins/callbacks/weight-decay-updater.js'
import { AdamW, SGD, weightDecayAt } from '../../../src/optim/index.js'
import { zeros } from '../../../src/tensor/index.js'
import type { Trainer } from '../../../src/train/trainer.js'

/** Enough of a trainer: two optimizers, the first with a group that does not decay. */
function run(options: WeightDecayUpdaterOptions, totalSteps = 10) {
  const logged: number[] = []
  const first = new AdamW([{ params: [zeros([2])] }, { params: [zeros([1])], weightDecay: 0 }])
  const second = new SGD([zeros([1])], { weightDecay: 0.5 })
  const optimizers = [first, second].map((optimizer, index) => ({ name: String(index), optimizer, frequency: 1 }))
  const log = (_: string, value: number) => void logged.push(value)
  const trainer = { optimizers, globalStep: 0, totalSteps, log } as unknown as Trainer
  const updater = new WeightDecayUpdater(options)
  const decays = () => [...first.groups, ...second.groups].map((group) => group['weightDecay'])
  const to = (step: number) => {
    trainer.globalStep = step
    updater.onTrainBatchEnd({ trainer } as never)
    return decays()
  }
  updater.onFitStart(trainer)
  return { updater, trainer, decays, to, logged }
}

test('every group that decays follows, in all optimizers; the others stay at 0', () => {
  const { decays, to, logged } = run({ startValue: 0.5, endValue: 0.25 })
  expect(decays()).toEqual([0.5, 0, 0.5])
  const middle = weightDecayAt(5, { schedule: 'cosine', start: 0.5, end: 0.25, totalSteps: 10 })
  expect(to(5)).toEqual([middle, 0, middle])
  expect(to(10)).toEqual([0.25, 0, 0.25])
  expect(logged).toEqual([0.5, middle, 0.25])
})

test('after the run it stays at its end', () => {
  expect(run({ scheduleType: 'exponential', startValue: 0.1, endValue: 0.2 }).to(20)[0]).toBeCloseTo(0.2, 10)
})

test('groups and an optimizer may be named', () => {
  expect(run({ startValue: 0.3, paramGroupIndices: [1] }).decays()).toEqual([0.01, 0.3, 0.5])
  expect(run({ startValue: 0.3, optIdx: 1 }).decays()).toEqual([0.01, 0, 0.3])
})

test('a resumed run knows its groups even where the schedule had come to 0', () => {
  const before = run({ startValue: 0.1, endValue: 0 })
  before.to(10)
  const after = run({ startValue: 0.1, endValue: 0 }, 20)
  after.trainer.optimizers[0]!.optimizer.groups[0]!['weightDecay'] = 0
  after.updater.loadState(before.updater.state())
  after.updater.onFitStart(after.trainer)
  expect(after.to(10)[0]).toBeCloseTo(0.05, 10)
})

test('an exponential schedule to 0 is refused at once', () => {
  expect(() => new WeightDecayUpdater({ scheduleType: 'exponential' })).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
})
