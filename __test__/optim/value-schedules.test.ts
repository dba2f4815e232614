/** Schedules of single values at their ends and in between; the whole curves are in the reference vectors. */
import { expect, test } from 'vitest'
import { emaCoefficientAt, teacherTemperatureAt, weightDecayAt } from '../../src/optim/index.js'

test.each([
  ['cosine', [0.04, 0.22, 0.4]],
  ['linear', [0.04, 0.22, 0.4]],
  ['constant', [0.04, 0.04, 0.04]],
  ['exponential', [0.04, Math.sqrt(0.04 * 0.4), 0.4]],
] as const)('weight decay, %s: start, middle, end', (schedule, expected) => {
  const at = (step: number) => weightDecayAt(step, { schedule, start: 0.04, end: 0.4, totalSteps: 10 })
  expected.forEach((value, index) => expect(at(index * 5)).toBeCloseTo(value, 12))
})

test('past the end the cosine and the line stay', () => {
  for (const schedule of ['cosine', 'linear'] as const)
    expect(weightDecayAt(99, { schedule, start: 1, end: 0, totalSteps: 10 })).toBeCloseTo(0, 12)
})

test.each([
  [0, 0.1],
  [0.1, 0],
])('an exponential schedule from %d to %d is refused', (start, end) => {
  expect(() => weightDecayAt(0, { schedule: 'exponential', start, end, totalSteps: 1 })).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT' }),
  )
})

test('the teacher’s momentum goes from base to final by half a cosine', () => {
  const at = (epoch: number) => emaCoefficientAt(epoch, { base: 0.9, final: 1, totalEpochs: 4 })
  expect([0, 2, 4].map(at)).toEqual([0.9, expect.closeTo(0.95, 12), 1])
})

test('the teacher’s temperature is a line, then constant', () => {
  const at = (epoch: number) => teacherTemperatureAt(epoch, { warmup: 0.04, final: 0.07, warmupEpochs: 3 })
  expect([0, 1, 3, 9].map(at)).toEqual([0.04, expect.closeTo(0.05, 12), 0.07, 0.07])
})
