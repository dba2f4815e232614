import { describe, expect, test } from 'vitest'
import { BYOLLoss, cosineSimilarity, NegativeCosineSimilarity } from '../../src/losses/index.js'
import { tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { integer, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const cosine = (a: number[], b: number[]): number => {
  const length = (row: number[]) => Math.max(Math.hypot(...row), 1e-8)
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0) / (length(a) * length(b))
}

test('are means of cosines of rows, in plain loops', async () => {
  const random = randomFrom(1)
  for (let round = 0; round < 10; round += 1) {
    const [rows, dim] = [1 + integer(random, 8), 1 + integer(random, 6)]
    const [a, b] = [normals(random, rows * dim), normals(random, rows * dim)]
    const others = rowsOf(b, dim)
    const mean = rowsOf(a, dim).reduce((sum, row, i) => sum + cosine(row, others[i]!), 0) / rows
    const [first, second] = [matrix(a, [rows, dim]), matrix(b, [rows, dim])]
    expect(await new BYOLLoss().forward(first, second).item()).toBeCloseTo(2 - 2 * mean, 5)
    expect(await new NegativeCosineSimilarity().forward(first, second).item()).toBeCloseTo(-mean, 5)
  }
})

test('known values: the same, the opposite, at right angles; length does not matter; a zero row is safe', async () => {
  const rows = tensor([[3, 4]])
  expect(await new BYOLLoss().forward(rows, rows.mul(7)).item()).toBeCloseTo(0, 6)
  expect(await new BYOLLoss().forward(rows, rows.neg()).item()).toBeCloseTo(4, 6)
  expect(await new NegativeCosineSimilarity().forward(rows, tensor([[-4, 3]])).item()).toBeCloseTo(0, 6)
  expect(await cosineSimilarity(zeros([1, 2]), rows).item()).toBe(0)
})

test('gradients are those of finite differences', async () => {
  const random = randomFrom(2)
  const inputs = [point(random, 3, 4), point(random, 3, 4)]
  await expectGradients((a, b) => new BYOLLoss().forward(a, b), inputs)
  await expectGradients((a, b) => new NegativeCosineSimilarity().forward(a, b), inputs)
})

describe.each([
  ['BYOLLoss', new BYOLLoss()],
  ['NegativeCosineSimilarity', new NegativeCosineSimilarity()],
] as const)('%s', (name, loss) => {
  test('refuses shapes that differ, even where they would broadcast, and nothing at all', () => {
    expect(() => loss.forward(zeros([3, 4]), zeros([1, 4]))).toThrow(
      `${name}: expected two of one shape, got [3, 4] and [1, 4]`,
    )
    expect(() => loss.forward(zeros([0, 4]), zeros([0, 4]))).toThrow(/\[0, 4\]/)
  })

  test('NaN stays NaN', async () => {
    expect(
      await loss
        .forward(
          tensor([
            [1, NaN],
            [1, 2],
          ]),
          tensor([
            [1, 2],
            [3, 4],
          ]),
        )
        .item(),
    ).toBeNaN()
  })
})
