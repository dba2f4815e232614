import { expect, test } from 'vitest'
import { Logbook } from '../../src/train/logbook.js'
import { gpuAdapters, memory, scope, tensor } from '../../src/tensor/index.js'

test('step values are the newest, epoch values the mean weighted by images', async () => {
  const book = new Logbook(new Map())
  book.add('fit/loss', tensor(4), 1, { onStep: true, weight: 100 })
  book.add('fit/loss', tensor(2), 2, { onStep: true, weight: 50 })
  book.add('hparams/lr', 0.1, 2, { onStep: true, onEpoch: false })
  await book.read()
  expect(book.takeStep()).toEqual({ 'fit/loss_step': 2, 'hparams/lr': 0.1 })
  expect(book.takeStep()).toEqual({})
  expect(book.takeEpoch()).toEqual({ 'fit/loss_epoch': (4 * 100 + 2 * 50) / 150 })
  expect(book.takeEpoch()).toEqual({})
  expect(book.latest.get('fit/loss')).toBeCloseTo(10 / 3)
})

test('a name that is only an epoch mean has no suffix', async () => {
  const book = new Logbook(new Map())
  book.add('eval/knn_top1', tensor(0.5), 1, {})
  await book.read()
  expect(book.takeEpoch()).toEqual({ 'eval/knn_top1': 0.5 })
})

test('tensors survive the scope of their step, and nothing is left after they were read', async () => {
  const book = new Logbook(new Map())
  const before = memory().liveBuffers
  for (let step = 1; step <= 5; step++) {
    scope(() => book.add('fit/loss', tensor([step, step]).sum(0), step, { onStep: true }))
  }
  await book.read()
  expect(book.takeEpoch()).toEqual({ 'fit/loss_epoch': 6 })
  expect(memory().liveBuffers).toBe(before)
})

test.each([NaN, Infinity, -Infinity])('a loss of %d is an error that names the step and what to do', async (value) => {
  const book = new Logbook(new Map())
  book.add('fit/loss', tensor(1), 41, { guard: true })
  book.add('fit/loss', tensor(value), 42, { guard: true })
  await expect(book.read()).rejects.toMatchObject({
    code: 'ERR_NONFINITE',
    message: expect.stringMatching(/fit\/loss is .* at step 42/) as string,
    hint: expect.stringContaining('learning rate') as string,
  })
})

test('its state goes on where it was, to the last bit', async () => {
  const book = new Logbook(new Map())
  book.add('fit/loss', tensor(0.1), 1, { onStep: true, weight: 3 })
  await book.read()
  const restored = new Logbook(new Map())
  restored.loadState(JSON.parse(JSON.stringify(book.state())) as ReturnType<Logbook['state']>)
  for (const one of [book, restored]) {
    one.add('fit/loss', tensor(0.7), 2, { onStep: true, weight: 7 })
    await one.read()
  }
  expect(restored.takeEpoch()).toEqual(book.takeEpoch())
})

test('a tensor that is written to after it was logged keeps the value it had', async () => {
  const book = new Logbook(new Map())
  const value = tensor(1, { dtype: 'float64' })
  book.add('coefficient', value, 1, {})
  value.fill_(7)
  await book.read()
  expect(book.latest.get('coefficient')).toBe(1)
  expect(await value.item()).toBe(7)
})

test.runIf(gpuAdapters().length > 0)('values on a GPU and on the CPU are read in their order', async () => {
  const book = new Logbook(new Map())
  const counter = tensor(3).to('gpu')
  book.add('a', tensor(1), 1, {})
  book.add('b', counter, 1, {})
  book.add('c', 0.5, 1, {})
  book.add('d', tensor([4]), 1, {})
  counter.fill_(9)
  await book.read()
  expect(Object.fromEntries(book.latest)).toEqual({ a: 1, b: 3, c: 0.5, d: 4 })
})
