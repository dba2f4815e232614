import { describe, expect, test } from 'vitest'
import { effectiveRank, rankMe } from '../../src/metrics/rank-me.js'
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

test('effective rank is that of known singular values, zero ones among them', async () => {
  const [a, b] = [3 / 4, 1 / 4]
  const expected = Math.exp(-a * Math.log(a) - b * Math.log(b))
  expect(
    await effectiveRank(
      tensor([
        [0, 3, 0],
        [1, 0, 0],
        [0, 0, 0],
      ]),
    ),
  ).toBeCloseTo(expected, 12)
})

test('NaN in an embedding stays NaN', async () => {
  expect(await rankMe(tensor([[1, NaN]]))).toBeNaN()
  expect(await effectiveRank(tensor([[1, Infinity]]))).toBeNaN()
})
