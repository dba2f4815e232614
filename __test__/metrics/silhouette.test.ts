import { describe, expect, test } from 'vitest'
import { silhouetteScore } from '../../src/metrics/index.js'
import { manualSeed, randint, randn, tensor, zeros } from '../../src/tensor/index.js'
import { integer, labels, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const distances = {
  euclidean: (a: number[], b: number[]) => Math.hypot(...a.map((x, i) => x - b[i]!)),
  cosine: (a: number[], b: number[]) =>
    1 - a.reduce((sum, x, i) => sum + x * b[i]!, 0) / (Math.hypot(...a) * Math.hypot(...b)),
}

function slow(rows: number[][], own: number[], distance: (a: number[], b: number[]) => number): number {
  let total = 0
  for (const [i, row] of rows.entries()) {
    const mean = (cluster: number) => {
      const members = rows.filter((_, j) => own[j] === cluster && j !== i)
      return members.reduce((sum, member) => sum + distance(row, member), 0) / members.length
    }
    if (own.filter((label) => label === own[i]).length === 1) continue
    const a = mean(own[i]!)
    const b = Math.min(...[...new Set(own)].filter((label) => label !== own[i]).map(mean))
    total += (b - a) / Math.max(a, b)
  }
  return total / rows.length
}

describe.each(Object.entries(distances))('%s', (distance, measure) => {
  test('is that of plain loops, clusters of one row and gaps between labels included', async () => {
    const random = randomFrom(41)
    for (let round = 0; round < 12; round += 1) {
      const [rows, dim] = [4 + integer(random, 25), 2 + integer(random, 5)]
      const values = normals(random, rows * dim)
      const own = Array.from({ length: rows }, (_, i) =>
        i === 0 ? 99 : i === 1 ? -3 : [99, -3, 7][integer(random, 2)]!,
      )
      own[rows - 1] = 7 // alone
      const found = await silhouetteScore(matrix(values, [rows, dim]), labels(own), { distance: distance as 'cosine' })
      expect(found).toBeCloseTo(slow(rowsOf(values, dim), own, measure), 6)
    }
  })
})

test('known values: clusters far apart, and clusters that are none', async () => {
  const far = tensor([[0], [0.001], [1000], [1000.001]])
  expect(await silhouetteScore(far, labels([0, 0, 1, 1]))).toBeCloseTo(1, 5)
  expect(await silhouetteScore(far, labels([0, 1, 0, 1]))).toBeLessThan(0)
  expect(await silhouetteScore(zeros([4, 2]), labels([0, 0, 1, 1]))).toBe(0)
})

test('with more rows than are held at a time, their order changes nothing', async () => {
  manualSeed(42)
  const [rows, own] = [randn([1500, 2]), randint(0, 3, [1500])]
  const value = await silhouetteScore(rows, own)
  expect(await silhouetteScore(rows.roll(700, 0), own.roll(700, 0))).toBeCloseTo(value, 12)
})

test('NaN stays NaN; labels and shapes that cannot be are refused', async () => {
  expect(await silhouetteScore(tensor([[NaN], [1], [2]]), labels([0, 0, 1]))).toBeNaN()
  await expect(silhouetteScore(zeros([3, 2]), labels([0, 1]))).rejects.toThrow(/\[3, 2\].*\[2\]/)
  await expect(silhouetteScore(zeros([3, 2]), labels([0, 0, 0]))).rejects.toMatchObject({ code: 'ERR_DATA' })
  await expect(silhouetteScore(zeros([3, 2]), labels([0, 1, 2]))).rejects.toThrow(/3 rows have 3 labels/)
})
