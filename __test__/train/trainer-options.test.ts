import { expect, test } from 'vitest'
import { limitBatches, resolveOptions, type TrainerOptions } from '../../src/train/trainer-options.js'

test('without limits a run has one epoch; with steps only, as many epochs as they take; -1 is no limit', () => {
  expect(resolveOptions({})).toMatchObject({ maxEpochs: 1, maxSteps: Infinity })
  expect(resolveOptions({ maxSteps: 100 })).toMatchObject({ maxEpochs: Infinity, maxSteps: 100 })
  expect(resolveOptions({ maxEpochs: 5, maxSteps: -1 })).toMatchObject({ maxEpochs: 5, maxSteps: Infinity })
  expect(resolveOptions({ maxEpochs: -1 })).toMatchObject({ maxEpochs: Infinity })
})

test.each<[string, TrainerOptions]>([
  ['maxEpochs', { maxEpochs: 1.5 }],
  ['logEveryNSteps', { logEveryNSteps: 0 }],
  ['accumulateGradBatches', { accumulateGradBatches: 0 }],
  ['limitValBatches', { limitValBatches: -1 }],
  ['gradientClipVal', { gradientClipVal: 0 }],
  ['numSanityValSteps', { numSanityValSteps: NaN }],
])('%s out of range is named with its value', (name, options) => {
  const act = () => resolveOptions(options)
  expect(act).toThrow(new RegExp(`${name}.*got`))
  expect(() => act()).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('precisions are known by name', () => {
  expect(resolveOptions({ precision: 'bf16-mixed' }).precision).toBe('bf16-mixed')
  expect(resolveOptions({ precision: '16-mixed' }).precision).toBe('16-mixed')
  const act = () => resolveOptions({ precision: '16-true' as never })
  expect(act).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(act).toThrow(/32-true, bf16-mixed, 16-mixed, got "16-true"/)
})

test('limits are counts, or shares below 1', () => {
  expect(limitBatches(10, Infinity)).toBe(10)
  expect(limitBatches(10, 3)).toBe(3)
  expect(limitBatches(10, 30)).toBe(10)
  expect(limitBatches(10, 0.25)).toBe(2)
  expect(limitBatches(10, 0)).toBe(0)
})
