import { describe, expect, test } from 'vitest'
import { rankMe, symmetricEigenvalues } from '../../src/metrics/rank-me.js'
import { eye, manualSeed, randn, tensor, zeros } from '../../src/tensor/index.js'

describe('rankMe', () => {
  test('of rows that are all different directions is their number', async () => {
    expect(await rankMe(eye(8).mul(3))).toBeCloseTo(Math.exp(-8 * (1 / 8 + 1e-5) * Math.log(1 / 8 + 1e-5)), 6)
    expect(await rankMe(eye(8).mul(3))).toBeCloseTo(8, 1)
  })

  test('of rows on one line is one, up to the 1e-5 that every dimension adds', async () => {
    const line = tensor([[1, 2, 3, 4]]).mul(tensor([[1], [2], [-5]]))
    expect(await rankMe(line)).toBeGreaterThan(1)
    expect(await rankMe(line)).toBeLessThan(1.001)
  })

  test('does not depend on whether there are more rows or more dimensions, nor on scale', async () => {
    manualSeed(0)
    const rows = randn([20, 50])
    expect(await rankMe(rows.t())).toBeCloseTo(await rankMe(rows), 6)
    expect(await rankMe(rows.mul(1000))).toBeCloseTo(await rankMe(rows), 3)
  })

  test('refuses what is no matrix', async () => {
    await expect(rankMe(zeros([3]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    await expect(rankMe(zeros([0, 4]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  })
})

describe('eigenvalues of a symmetric matrix', () => {
  test('of a matrix with known ones', () => {
    const [low, high] = symmetricEigenvalues(Float64Array.of(2, 1, 1, 2), 2)
    expect(low).toBeCloseTo(1, 12)
    expect(high).toBeCloseTo(3, 12)
    // The second difference: 2 − 2 cos(jπ / (n + 1)).
    const n = 40
    const matrix = new Float64Array(n * n)
    for (let i = 0; i < n; i++)
      for (const j of [i - 1, i, i + 1]) if (j >= 0 && j < n) matrix[i * n + j] = i === j ? 2 : -1
    const expected = Array.from({ length: n }, (_, j) => 2 - 2 * Math.cos(((j + 1) * Math.PI) / (n + 1)))
    symmetricEigenvalues(matrix, n).forEach((value, j) => expect(value).toBeCloseTo(expected[j] as number, 10))
  })

  test('keep trace and sum of squares of a full matrix', () => {
    const n = 60
    const matrix = new Float64Array(n * n)
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) matrix[i * n + j] = matrix[j * n + i] = Math.sin(i * 7 + j * j)
    const values = symmetricEigenvalues(matrix, n)
    const trace = Array.from({ length: n }, (_, i) => matrix[i * n + i] as number).reduce((a, b) => a + b)
    expect(values.reduce((a, b) => a + b)).toBeCloseTo(trace, 9)
    expect(values.reduce((a, b) => a + b * b, 0)).toBeCloseTo(
      matrix.reduce((a, b) => a + b * b, 0),
      8,
    )
  })

  test('of a matrix with NaN do not loop for ever', () => {
    expect(() => symmetricEigenvalues(Float64Array.of(NaN, 1, 1, 2), 2)).toThrow(
      expect.objectContaining({ code: 'ERR_NONFINITE' }),
    )
  })
})
