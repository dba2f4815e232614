/** The orthogonal initialiser: orthonormal rows or columns, every axis behind the first taken together. */
import { describe, expect, it } from 'vitest'
import { init } from '../../src/nn/index.js'
import { eye, Generator, zeros } from '../../src/tensor/index.js'

describe('orthogonal_', () => {
  it.for([
    [5, 5],
    [3, 7],
    [7, 3],
    [4, 2, 3, 3],
    [8, 1, 2],
  ])('makes %j orthonormal', async (shape) => {
    const weight = init.orthogonal_(zeros(shape), 2, { generator: new Generator(3) })
    const matrix = weight.reshape([shape[0] ?? 0, -1])
    const [rows = 0, columns = 0] = matrix.shape
    const products = rows < columns ? matrix.matmul(matrix.t()) : matrix.t().matmul(matrix)
    const error = products
      .sub(eye(Math.min(rows, columns)).mul(4))
      .abs()
      .amax()
    expect(await error.item()).toBeLessThan(1e-5)
  })

  it('has no preferred sign', async () => {
    const generator = new Generator(5)
    let total = 0
    for (let draw = 0; draw < 400; draw += 1)
      total += await init
        .orthogonal_(zeros([2, 2]), 1, { generator })
        .select(0, 0)
        .select(0, 0)
        .sign()
        .item()
    // A fair sign: 400 draws have a standard deviation of 20.
    expect(Math.abs(total)).toBeLessThan(80)
  })

  it('refuses a vector and leaves nothing alone', () => {
    expect(() => init.orthogonal_(zeros([3]))).toThrow('two axes')
    expect(init.orthogonal_(zeros([0, 3])).shape).toEqual([0, 3])
  })
})
