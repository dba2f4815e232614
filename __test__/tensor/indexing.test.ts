/** Several indices at once, counts and running products against torch's values. */
import { describe, expect, it } from 'vitest'
import { ones, type Tensor, tensor, zeros } from '../../src/tensor/index.js'

const rows = async (x: Tensor) => {
  const flat = Array.from(await x.data(), Number)
  const width = x.shape.at(-1) ?? 1
  return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width))
}
const index = (values: Parameters<typeof tensor>[0]) => tensor(values, { dtype: 'int64' })

describe('indexPut', () => {
  it('adds where a place is named twice, counts negative indices from the end', async () => {
    const out = zeros([3, 4]).indexPut([index([0, -1, 0]), index([1, 2, 1])], tensor([1, 2, 3]), true)
    expect(await rows(out)).toEqual([
      [0, 4, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 2, 0],
    ])
    const last = zeros([3, 4]).indexPut([index([0, 0]), index([1, 1])], tensor([1, 3]))
    expect((await rows(last))[0]).toEqual([0, 3, 0, 0])
  })

  it('broadcasts indices and values, and takes whole rows', async () => {
    const crossed = zeros([3, 4]).indexPut([index([[0], [2]]), index([1, 3])], tensor(5))
    expect(await rows(crossed)).toEqual([
      [0, 5, 0, 5],
      [0, 0, 0, 0],
      [0, 5, 0, 5],
    ])
    const values = tensor([
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ])
    expect(await rows(zeros([3, 4]).indexPut([index([2, 0])], values))).toEqual([
      [5, 6, 7, 8],
      [0, 0, 0, 0],
      [1, 2, 3, 4],
    ])
  })

  it('takes a mask', async () => {
    const mask = tensor([
      [false, true],
      [true, true],
    ])
    expect(await rows(zeros([2, 2]).indexPut([mask], tensor([7, 8, 9])))).toEqual([
      [0, 7],
      [8, 9],
    ])
  })

  it('sends gradients to what stayed and to the values that won', async () => {
    const [x, values] = [zeros([3]), tensor([1, 2, 3])]
    x.requiresGrad = true
    values.requiresGrad = true
    x.indexPut([index([0, 2, 0])], values)
      .mul(tensor([10, 20, 30]))
      .sum()
      .backward()
    expect(await rows(x.grad as Tensor)).toEqual([[0, 20, 0]])
    expect(await rows(values.grad as Tensor)).toEqual([[0, 30, 10]])
  })

  it('refuses an index outside its own axis', () => {
    expect(() => zeros([3, 4]).indexPut([index([0]), index([4])], tensor([1]))).toThrow('0..4')
    expect(() => zeros([3]).indexPut([index([-4])], tensor([1]))).toThrow('0..3')
    expect(() => zeros([3]).indexPut([], tensor([1]))).toThrow('at least one')
    expect(() => zeros([3]).indexPut([index([0]), index([0])], tensor([1]))).toThrow('at most 1')
  })
})

describe('indexGet and unbind', () => {
  it('read what indexPut writes', async () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect(await rows(x.indexGet([index([1, 0]), index([-1, 1])]))).toEqual([[6, 2]])
    expect(await rows(x.indexGet([index([[1], [1]])]).squeeze(1))).toEqual([
      [4, 5, 6],
      [4, 5, 6],
    ])
    expect((await Promise.all(x.unbind(1).map(rows))).flat()).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ])
  })
})

describe('scatter, bincount, cumprod', () => {
  it('are what torch has', async () => {
    const three = tensor([
      [3, -1, 2.5],
      [1, 4, 0],
    ])
    expect(await rows(three.cumprod(1))).toEqual([
      [3, -3, -7.5],
      [1, 4, 0],
    ])
    expect(await rows(index([3, 0, 3]).bincount(null, 6))).toEqual([[1, 0, 0, 2, 0, 0]])
    expect(await rows(index([3, 0, 3]).bincount(tensor([0.5, 1, 2])))).toEqual([[1, 0, 0, 2.5]])
    expect(await rows(ones([2, 3]).scatter(1, index([[2], [0]]), -1))).toEqual([
      [1, 1, -1],
      [-1, 1, 1],
    ])
    expect(await rows(zeros([3]).scatter(0, index([1, 1]), tensor([4, 5])))).toEqual([[0, 5, 0]])
  })
})
