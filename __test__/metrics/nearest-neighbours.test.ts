import { describe, expect, test } from 'vitest'
import { nearestNeighbourScores, pairwiseDistance, topKAccuracy, type Distance } from '../../src/metrics/index.js'
import { manualSeed, randint, randn, tensor, type Tensor } from '../../src/tensor/index.js'

const rowsOf = async (matrix: Tensor): Promise<number[][]> => {
  const values = Array.from((await matrix.data()) as Float32Array, Number)
  const [rows = 0, columns = 0] = matrix.shape
  return Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns))
}

/** The definitions, term by term in double precision. */
const measures: Record<Distance, (a: number[], b: number[]) => number> = {
  euclidean: (a, b) => Math.hypot(...a.map((x, i) => x - (b[i] as number))),
  squared_euclidean: (a, b) => a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0),
  manhattan: (a, b) => a.reduce((sum, x, i) => sum + Math.abs(x - (b[i] as number)), 0),
  cosine: (a, b) => 1 - a.reduce((sum, x, i) => sum + x * (b[i] as number), 0) / (Math.hypot(...a) * Math.hypot(...b)),
}

describe.each(Object.keys(measures) as Distance[])('%s', (distance) => {
  test('distances are those of the definition', async () => {
    manualSeed(1)
    const [a, b] = [randn([7, 5]), randn([11, 5])]
    const found = await rowsOf(pairwiseDistance(a, b, distance))
    const others = await rowsOf(b)
    const expected = (await rowsOf(a)).map((row) => others.map((other) => measures[distance](row, other)))
    expected.forEach((row, i) => row.forEach((value, j) => expect(found[i]?.[j]).toBeCloseTo(value, 4)))
  })

  test('each of the k nearest votes with 1 / (distance + temperature)', async () => {
    manualSeed(2)
    const [queries, set, label] = [randn([6, 4]), randn([30, 4]), randint(0, 3, [30])]
    const found = await rowsOf(nearestNeighbourScores(queries, set, label, 3, { k: 7, temperature: 0.2, distance }))
    const others = await rowsOf(set)
    const labels = Array.from((await label.data()) as BigInt64Array, Number)
    for (const [i, row] of (await rowsOf(queries)).entries()) {
      const scores = [0, 0, 0]
      const near = others.map((other, j) => ({ j, d: measures[distance](row, other) })).toSorted((a, b) => a.d - b.d)
      for (const { j, d } of near.slice(0, 7)) scores[labels[j] as number]! += 1 / (d + 0.2)
      scores.forEach((value, c) => expect(found[i]?.[c]).toBeCloseTo(value, 3))
    }
  })
})

test('more neighbours than there are rows means all of them', async () => {
  const scores = nearestNeighbourScores(tensor([[0]]), tensor([[1], [2]]), tensor(BigInt64Array.of(0n, 1n)), 2, {
    k: 9,
    temperature: 1,
  })
  const [row] = await rowsOf(scores)
  expect(row?.[0]).toBeCloseTo(1 / 2)
  expect(row?.[1]).toBeCloseTo(1 / 3)
})

test('options and shapes out of range are refused', () => {
  const [set, label] = [tensor([[1], [2]]), tensor(BigInt64Array.of(0n, 1n))]
  const act = (options: object) => () => nearestNeighbourScores(set, set, label, 2, options)
  expect(act({ k: 0 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(act({ temperature: 0 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => nearestNeighbourScores(set, set, tensor(BigInt64Array.of(0n)), 2)).toThrow(/\[1\].*\[2, 1\]/)
  expect(() => nearestNeighbourScores(set, set, label, 1)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  expect(() => pairwiseDistance(set, tensor([[1, 2]]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
})

test('top-k accuracy counts rows whose class is among the k highest', async () => {
  const scores = tensor([
    [0.1, 0.7, 0.2],
    [0.5, 0.3, 0.2],
    [0.2, 0.3, 0.5],
    [0.6, 0.3, 0.1],
  ])
  const target = tensor(BigInt64Array.of(1n, 1n, 2n, 2n))
  expect(await topKAccuracy(scores, target, 1).item()).toBe(0.5)
  expect(await topKAccuracy(scores, target, 2).item()).toBe(0.75)
  expect(await topKAccuracy(scores, target, 9).item()).toBe(1)
  expect(() => topKAccuracy(scores, tensor(BigInt64Array.of(1n)), 1)).toThrow(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  )
})
