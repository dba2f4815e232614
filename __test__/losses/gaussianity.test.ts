import { describe, expect, test } from 'vitest'
import {
  EppsPulley,
  leJepaLoss,
  normalQuantile,
  slicedGaussianity,
  SlicedEppsPulley,
  VISRegLoss,
} from '../../src/losses/index.js'
import { defaultGenerator, manualSeed, randn, tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

/** N ∫ |φ̂ − φ|² φ dt on [−tMax, tMax] by the trapezoid rule on its positive half, in plain loops. */
function slowStatistic(values: number[], tMax: number, points: number): number {
  const step = tMax / (points - 1)
  let sum = 0
  for (let i = 0; i < points; i += 1) {
    const t = i * step
    const normal = Math.exp((-t * t) / 2)
    const real = values.reduce((all, x) => all + Math.cos(t * x), 0) / values.length - normal
    const imaginary = values.reduce((all, x) => all + Math.sin(t * x), 0) / values.length
    sum += (i === 0 || i === points - 1 ? step : 2 * step) * normal * (real ** 2 + imaginary ** 2)
  }
  return values.length * sum
}

test('Epps–Pulley is that of plain loops, column by column', async () => {
  const random = randomFrom(41)
  for (const [n, columns, tMax, nPoints] of [
    [1, 2, 3, 17],
    [9, 3, 2, 5],
    [30, 1, 4, 9],
  ] as const) {
    const values = normals(random, n * columns)
    const found = (await new EppsPulley({ tMax, nPoints }).forward(matrix(values, [n, columns])).data()) as Float32Array
    const table = rowsOf(values, columns)
    expect(found.length).toBe(columns)
    found.forEach((value, c) =>
      expect(value).toBeCloseTo(
        slowStatistic(
          table.map((row) => row[c]!),
          tMax,
          nPoints,
        ),
        3,
      ),
    )
  }
})

test('normal samples have a small statistic, others a large one', async () => {
  manualSeed(3)
  const normal = randn([2000, 4])
  const along = randn([4, 32])
  const value = await slicedGaussianity(normal, along).item()
  expect(value).toBeLessThan(3)
  expect(await slicedGaussianity(normal.mul(3), along).item()).toBeGreaterThan(20 * value)
})

test('the module draws its directions from the generator whose state is in checkpoints', async () => {
  manualSeed(5)
  const samples = randn([50, 4])
  const loss = new SlicedEppsPulley({ nSlices: 16 })
  const state = defaultGenerator.getState()
  const first = await loss.forward(samples).item()
  expect(await loss.forward(samples).item()).not.toBe(first)
  defaultGenerator.setState(state)
  expect(await loss.forward(samples).item()).toBe(first)
})

test('LeJEPA adds the distance of all views to the mean of the global ones', async () => {
  const random = randomFrom(42)
  const [views, n, dim] = [3, 4, 2]
  const values = normals(random, views * n * dim)
  const directions = matrix(normals(random, dim * 5), [dim, 5])
  const projections = matrix(values, [views, n, dim])
  const at = (v: number, i: number, d: number) => values[(v * n + i) * dim + d]!
  let sum = 0
  for (let i = 0; i < n; i += 1) {
    for (let d = 0; d < dim; d += 1) {
      const center = (at(0, i, d) + at(1, i, d)) / 2
      for (let v = 0; v < views; v += 1) sum += (center - at(v, i, d)) ** 2
    }
  }
  const found = leJepaLoss(projections, directions, { nGlobal: 2, lamb: 0.1 })
  const sigreg = await slicedGaussianity(projections.reshape([-1, dim]), directions).item()
  expect(await found.invariance.item()).toBeCloseTo(sum / (views * n * dim), 5)
  expect(await found.loss.item()).toBeCloseTo(sum / (views * n * dim) + 0.1 * sigreg, 4)
})

test('VISReg: centre, scale and sorted shape of each view, in plain loops', async () => {
  const random = randomFrom(43)
  const [views, n, dim, slices] = [2, 5, 3, 4]
  const [values, along] = [normals(random, views * n * dim), normals(random, dim * slices)]
  const columns = Array.from({ length: slices }, (_, s) =>
    Array.from({ length: dim }, (_unused, d) => along[d * slices + s]!),
  )
  const directions = columns.map((column) => column.map((x) => x / Math.hypot(...column)))
  let [center, scale, shape] = [0, 0, 0]
  for (let v = 0; v < views; v += 1) {
    const rows = rowsOf(values, dim).slice(v * n, (v + 1) * n)
    const means = Array.from({ length: dim }, (_, d) => rows.reduce((sum, row) => sum + row[d]!, 0) / n)
    const std = means.map((m, d) => Math.sqrt(rows.reduce((sum, row) => sum + (row[d]! - m) ** 2, 0) / n) + 1e-6)
    for (const [d, m] of means.entries()) {
      center += m ** 2 / (views * dim)
      scale += (std[d]! - 1) ** 2 / (views * dim)
    }
    for (const direction of directions) {
      const projected = rows.map((row) =>
        row.reduce((sum, x, d) => sum + ((x - means[d]!) / std[d]!) * direction[d]!, 0),
      )
      for (const [i, x] of projected.toSorted((a, b) => a - b).entries()) {
        shape += (x - normalQuantile((i + 1) / (n + 1))) ** 2 / (views * n * slices)
      }
    }
  }
  const loss = new VISRegLoss({ lambdaCenter: 2, lambdaScale: 3, lambdaShape: 4 })
  const found = await loss.forward(matrix(values, [views, n, dim]), matrix(along, [dim, slices])).item()
  expect(found).toBeCloseTo(2 * center + 3 * scale + 4 * shape, 4)
  manualSeed(1)
  const drawn = await loss.forward(matrix(values, [views, n, dim])).item()
  manualSeed(1)
  expect(await loss.forward(matrix(values, [views, n, dim]), randn([dim, 256])).item()).toBe(drawn)
})

test.each([
  [0.5, 0],
  [0.975, 1.959963984540054],
  [0.8413447460685429, 1],
  [0.0013498980316301035, -3],
  [1e-9, -5.9978070150076865],
])('the normal quantile of %d is %d', (p, x) => {
  expect(normalQuantile(p)).toBeCloseTo(x, 9)
})

describe('gradients are those of finite differences', () => {
  const random = randomFrom(44)
  const directions = matrix(normals(random, 12), [3, 4]).to('float64').keep()
  test.each<[string, (x: Tensor) => Tensor, number[]]>([
    ['Epps–Pulley', (x) => new EppsPulley().forward(x).mean(), [5, 3]],
    ['SIGReg', (x) => slicedGaussianity(x, directions), [5, 3]],
    ['LeJEPA', (x) => leJepaLoss(x, directions, { nGlobal: 2 }).loss, [3, 4, 3]],
    // The divisor of the shape term is detached, which no difference can see.
    ['VISReg without its shape', (x) => new VISRegLoss({ lambdaShape: 0 }).forward(x, directions), [2, 4, 3]],
  ])('%s', async (_, loss, shape) => {
    await expectGradients(loss, [point(random, ...shape)])
  })
})

test('bad input is refused with its shape; NaN stays NaN', async () => {
  expect(() => new EppsPulley().forward(zeros([0, 4]))).toThrow(/\[0, 4\]/)
  expect(() => new EppsPulley({ nPoints: 1 })).toThrow(/nPoints/)
  expect(() => new SlicedEppsPulley().forward(zeros([4]))).toThrow(/\[4\]/)
  expect(() => new VISRegLoss().forward(zeros([4, 2]))).toThrow(/\[4, 2\]/)
  expect(() => leJepaLoss(zeros([2, 4, 2]), zeros([2, 3]), { nGlobal: 3 })).toThrow(/3 global views.*\[2, 4, 2\]/)
  expect(await new EppsPulley().forward(tensor([[NaN], [1]])).item()).toBeNaN()
})
