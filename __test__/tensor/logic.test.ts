/** What is finite, what is true: every answer against JavaScript's own. */
import { expect, it } from 'vitest'
import { type Tensor, tensor, zeros } from '../../src/tensor/index.js'

const truths = async (x: Tensor) => Array.from(await x.data(), Boolean)
const values = [1, Infinity, -Infinity, NaN, 0, -0]

it.for([
  ['isnan', Number.isNaN],
  ['isinf', (v: number) => Math.abs(v) === Infinity],
  ['isfinite', Number.isFinite],
  ['logicalNot', (v: number) => v === 0],
] as const)('%s', async ([name, test]) => {
  expect(await truths(tensor(values)[name]())).toEqual(values.map(test))
  expect(tensor(values)[name]().dtype).toBe('bool')
})

it('and, or, xor of numbers and truth values', async () => {
  const [a, b] = [tensor([0, 2, 0, NaN]), tensor([false, false, true, true])]
  expect(await truths(a.logicalAnd(b))).toEqual([false, false, false, true])
  expect(await truths(a.logicalOr(b))).toEqual([false, true, true, true])
  expect(await truths(a.logicalXor(b))).toEqual([false, true, true, false])
})

it('any and all over axes', async () => {
  const x = tensor([
    [0, 0, 3],
    [0, 0, 0],
    [1, NaN, -1],
  ])
  expect(await truths(x.any(1))).toEqual([true, false, true])
  expect(await truths(x.all(1))).toEqual([false, false, true])
  expect(x.any(0, true).shape).toEqual([1, 3])
  expect(await truths(x.any())).toEqual([true])
  expect(await truths(x.ge(0).all([0, 1]))).toEqual([false])
  expect([await truths(zeros([0]).any()), await truths(zeros([0]).all())]).toEqual([[false], [true]])
})
