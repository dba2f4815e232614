/** The spread of embeddings against plain loops, and what counts as a collapse. */
import { describe, expect, test } from 'vitest'
import { collapseOf, spreadOf } from '../../src/metrics/index.js'
import { manualSeed, randn, tensor, zeros } from '../../src/tensor/index.js'
import { randomFrom } from '../plain-arrays.js'

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe('spreadOf', () => {
  test('measures directions and components as loops do', async () => {
    const random = randomFrom(7)
    const rows = Array.from({ length: 9 }, () => Array.from({ length: 4 }, () => 3 * random() - 1))
    const { deviation, std } = await spreadOf(tensor(rows, { dtype: 'float64' }))
    const unit = rows.map((row) => row.map((value) => value / Math.hypot(...row)))
    const column = (of: number[][], j: number) => of.map((row) => row[j]!)
    const variance = (values: number[]) => mean(values.map((value) => (value - mean(values)) ** 2))
    const columns = [0, 1, 2, 3]
    expect(deviation).toBeCloseTo(Math.sqrt(columns.reduce((sum, j) => sum + variance(column(unit, j)), 0)), 10)
    expect(std).toBeCloseTo(Math.sqrt(mean(columns.map((j) => variance(column(rows, j))))), 10)
  })

  test('is 1 and full for rows that lie everywhere, whatever their scale', async () => {
    manualSeed(0)
    const { deviation, rank } = await spreadOf(randn([2000, 8]).mul(1e-3))
    expect(deviation).toBeGreaterThan(0.98)
    expect(rank).toBeGreaterThan(7.9)
  })

  test('counts the directions about the mean', async () => {
    manualSeed(0)
    const { deviation, rank } = await spreadOf(
      randn([500, 2])
        .matmul(randn([2, 16]))
        .add(100),
    )
    expect(rank).toBeLessThan(2.01)
    expect(deviation).toBeLessThan(0.05)
  })

  test('is 0 for rows that are all equal, zeros included', async () => {
    expect(await spreadOf(tensor([[1, 2], [1, 2], [1, 2]]))).toEqual({ deviation: 0, std: 0, rank: 0 }) // prettier-ignore
    expect(await spreadOf(zeros([3, 2]))).toEqual({ deviation: 0, std: 0, rank: 0 })
  })

  test.each([[[1, 4]], [[3]], [[3, 0]]])('refuses %j', async (shape) => {
    await expect(spreadOf(zeros(shape))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  })
})

describe('collapseOf', () => {
  const good = { deviation: 0.8, rank: 6, std: 0.5 }
  test('tells one point, few directions, a shrunken cloud, and none of them', () => {
    expect(collapseOf(good)).toBeNull()
    expect(collapseOf({ ...good, deviation: 0.04 })).toBe('point')
    expect(collapseOf({ ...good, rank: 1.5 })).toBe('directions')
    expect(collapseOf({ ...good, std: 0.01 })).toBeNull()
    expect(collapseOf({ ...good, std: 0.01 }, {}, good)).toBe('point')
    expect(collapseOf({ ...good, rank: 5 }, { rank: 5.5 })).toBe('directions')
  })
})
