/** What samples say besides their images, in a batch: numbers and lists of as many as tensors, anything else as it is. */
import { expect, test } from 'vitest'
import { collate } from '../../src/data/collate.js'
import type { Sample } from '../../src/data/sample.js'
import type { Tensor } from '../../src/tensor/index.js'

const batch = (values: readonly unknown[]) =>
  collate(values.map((value, index): Sample => ({ image: { encoded: new Uint8Array(1) }, index, value })))['value']

const found = async (values: readonly unknown[]) => {
  const made = batch(values) as Tensor
  return [made.shape, made.dtype, Array.from<unknown>(await made.data())]
}

test('lists and typed arrays of equal sizes', async () => {
  expect(await found([[[1, 2, 3]], [[4, 5, 6]]])).toEqual([[2, 1, 3], 'float32', [1, 2, 3, 4, 5, 6]])
  expect(await found([[1n], [2n ** 40n]])).toEqual([[2, 1], 'int64', [1n, 2n ** 40n]])
  expect(await found([new Float32Array([0.5, 1]), new Float32Array([2, 3])])).toEqual([
    [2, 2],
    'float32',
    [0.5, 1, 2, 3],
  ])
  expect(await found([new Int32Array([7]), new Int32Array([-7])])).toEqual([[2, 1], 'float32', [7, -7]])
})

test.each([
  ['of unequal lengths', [[1], [1, 2]]],
  ['of unequal depths', [[1], [[1]]]],
  ['empty', [[], []]],
  ['with what is absent', [[1], [null]]],
  ['of numbers and bigints', [[1], [1n]]],
  ['texts', [['a'], ['b']]],
  ['bytes, which are files', [new Uint8Array(2), new Uint8Array(2)]],
])('lists %s stay as they are', (_, values) => {
  expect(batch(values)).toEqual(values)
})
