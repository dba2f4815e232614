import { expect, test } from 'vitest'
import { lidar } from '../../src/metrics/index.js'
import { cat, manualSeed, randn, tensor, zeros } from '../../src/tensor/index.js'

test('is the number of directions in which classes differ', async () => {
  manualSeed(0)
  // Nine classes around points that span three of six dimensions, close together within a class.
  const centres = cat([randn([9, 3]).mul(100), zeros([9, 3])], 1)
  const rows = centres
    .unsqueeze(1)
    .add(randn([9, 5, 6]).mul(0.01))
    .reshape([45, 6])
  const { lidar: value, entropy } = await lidar(rows, { nClasses: 9, samplesPerClass: 5 })
  expect(value).toBeGreaterThan(2)
  expect(value).toBeLessThan(3.1)
  expect(Math.exp(entropy)).toBeCloseTo(value, 12)
})

test('of one dimension: the scatter between classes over that within them', async () => {
  const rows = tensor([[1], [3], [6], [10]]) // means 2 and 8, around them ±1 and ±2
  const { lidar: value, topEigenvalue, conditionNumber } = await lidar(rows, { samplesPerClass: 2, delta: 0.5 })
  const between = 2 * 3 ** 2
  const within = (2 * 1 + 2 * 4) / 2
  expect(topEigenvalue).toBeCloseTo(between / (within + 0.5), 12)
  expect(value).toBeCloseTo(1, 12)
  expect(conditionNumber).toBe(1)
})

test('rotation changes nothing; rows beyond whole classes are left out', async () => {
  manualSeed(1)
  const rows = randn([43, 2])
  const options = { nClasses: 8, samplesPerClass: 5, delta: 1e-3 }
  const { lidar: value } = await lidar(rows, options)
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)]
  const turned = rows.matmul(
    tensor([
      [c, s],
      [-s, c],
    ]),
  )
  expect((await lidar(turned, options)).lidar).toBeCloseTo(value, 5)
  expect((await lidar(rows.narrow(0, 0, 40), options)).lidar).toBe(value)
})

test('bad input is refused', async () => {
  await expect(lidar(zeros([4]))).rejects.toThrow(/\[4\]/)
  await expect(lidar(zeros([19, 2]))).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining('19 rows') as string,
  })
  await expect(lidar(zeros([8, 2]), { samplesPerClass: 1 })).rejects.toThrow(/samplesPerClass/)
  await expect(lidar(zeros([8, 2]), { samplesPerClass: 2, delta: 0 })).rejects.toThrow(/not positive definite/)
})

test('NaN in an embedding stays NaN', async () => {
  const { lidar: value, entropy } = await lidar(tensor([[NaN], [1], [2], [3]]), { samplesPerClass: 2 })
  expect([value, entropy]).toEqual([NaN, NaN])
})
