/** Schedules at the edges of a run: of one step, and of a run that is gone on with for longer than it was meant to. */
import { expect, test } from 'vitest'
import { createScheduler, SGD } from '../../src/optim/index.js'
import { tensor } from '../../src/tensor/index.js'

const build = (type: string, totalSteps: number) => {
  const optimizer = new SGD([tensor([1], { requiresGrad: true })], { lr: 0.1 })
  return createScheduler(optimizer, type, { totalSteps, maxEpochs: 4 })
}

const byLength = [
  'CosineAnnealingLR',
  'LinearWarmup',
  'LinearWarmupCosineAnnealing',
  'LinearWarmupCosineAnnealingLR',
  'LinearWarmupCyclicAnnealing',
  'LinearWarmupThreeStepsAnnealing',
]

test.each(byLength)('%s of one step has a rate', (type) => {
  const scheduler = build(type, 1)
  for (let step = 0; step < 2; step++) {
    expect(scheduler.getLastLr()[0]).toBeGreaterThanOrEqual(0) // not NaN
    scheduler.step()
  }
})

test.each(byLength)('%s of a longer run is that of the longer run from there on', (type) => {
  const [short, whole, long] = [build(type, 200), build(type, 400), build(type, 400)]
  for (let step = 0; step < 200; step++) short.step()
  for (let step = 0; step < 200; step++) whole.step()
  long.loadState(short.state())
  long.realign?.()
  for (let step = 200; step < 400; step++) {
    expect(long.getLastLr()[0]).toBeCloseTo(whole.getLastLr()[0] as number, 12)
    long.step()
    whole.step()
  }
})
