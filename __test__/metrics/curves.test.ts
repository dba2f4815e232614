import { describe, expect, test } from 'vitest'
import {
  BinaryAUROC,
  binaryAuroc,
  BinaryAveragePrecision,
  binaryAveragePrecision,
  MulticlassAUROC,
  multiclassAuroc,
  MulticlassAveragePrecision,
  multiclassAveragePrecision,
} from '../../src/metrics/index.js'
import { tensor, zeros } from '../../src/tensor/index.js'
import { integer, labels, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

/** The share of pairs of a right and a wrong row that are in order; half of those with equal scores (Mann & Whitney). */
function slowAuroc(scores: number[], positive: boolean[]): number {
  let [ordered, pairs] = [0, 0]
  for (const [i, a] of scores.entries()) {
    for (const [j, b] of scores.entries()) {
      if (!positive[i] || positive[j]) continue
      pairs += 1
      ordered += a > b ? 1 : a === b ? 0.5 : 0
    }
  }
  return pairs === 0 ? 0 : ordered / pairs
}

/** Σ over distinct thresholds of (recall − recall before) · precision. */
function slowAveragePrecision(scores: number[], positive: boolean[]): number {
  const all = positive.filter(Boolean).length
  let [sum, before] = [0, 0]
  for (const threshold of [...new Set(scores)].toSorted((a, b) => b - a)) {
    const above = scores.flatMap((score, i) => (score >= threshold ? [positive[i]!] : []))
    const right = above.filter(Boolean).length
    sum += ((right - before) / all) * (right / above.length)
    before = right
  }
  return sum
}

const softmax = (row: number[]): number[] => {
  const powers = row.map((x) => Math.exp(x - Math.max(...row)))
  const total = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / total)
}

/** Scores of a round: logits, probabilities, or few distinct values. */
function draw(random: () => number, kind: number, count: number): number[] {
  if (kind === 0) return normals(random, count)
  return Array.from({ length: count }, () => (kind === 1 ? Math.fround(random()) : integer(random, 4) / 4))
}

const measures = {
  AUROC: { many: multiclassAuroc, two: binaryAuroc, slow: slowAuroc, absent: 0 },
  'average precision': {
    many: multiclassAveragePrecision,
    two: binaryAveragePrecision,
    slow: slowAveragePrecision,
    absent: NaN,
  },
} as const

describe.each(Object.entries(measures))('%s', (_, { many, two, slow, absent }) => {
  test('of two classes is that of pairs in plain loops, ties included', async () => {
    const random = randomFrom(11)
    for (let round = 0; round < 30; round += 1) {
      const rows = 1 + integer(random, 30)
      const scores = draw(random, round % 3, rows)
      const target = scores.map(() => integer(random, 2))
      const positive = target.map((label) => label === 1)
      const expected = positive.some(Boolean) ? slow(scores, positive) : 0
      expect(await two(matrix(scores, [rows]), labels(target))).toBeCloseTo(expected, 9)
    }
  })

  test('of many classes is each against the rest, after a softmax where scores are no probabilities', async () => {
    const random = randomFrom(12)
    for (let round = 0; round < 20; round += 1) {
      const classes = 2 + integer(random, 4)
      const rows = 4 + integer(random, 25)
      const scores = draw(random, round % 3, rows * classes)
      const target = Array.from({ length: rows }, (_, i) => 1 + (i % (classes - 1))) // class 0 does not occur
      const logits = scores.some((x) => x < 0 || x > 1)
      const table = rowsOf(scores, classes).map((row) => (logits ? softmax(row) : row))
      const each = Array.from({ length: classes }, (_, c) => {
        const positive = target.map((label) => label === c)
        return positive.some(Boolean)
          ? slow(
              table.map((row) => row[c]!),
              positive,
            )
          : absent
      })
      const act = <A extends 'macro' | 'weighted' | 'none'>(average: A) =>
        many(matrix(scores, [rows, classes]), labels(target), { average })
      const none = Array.from(await act('none'))
      const rounded = (values: number[]) => values.map((value) => value.toFixed(9))
      expect(rounded(none)).toEqual(rounded(each))
      const known = each.filter((value) => !Number.isNaN(value))
      expect(await act('macro')).toBeCloseTo(known.reduce((a, b) => a + b, 0) / known.length, 9)
      const weighted = each.reduce(
        (sum, value, c) => sum + (Number.isNaN(value) ? 0 : value * target.filter((label) => label === c).length),
        0,
      )
      expect(await act('weighted')).toBeCloseTo(weighted / rows, 9)
    }
  })

  test('does not depend on the order of the rows', async () => {
    const scores = [0.1, 0.9, 0.5, 0.5, 0.5, 0.2]
    const target = [0, 1, 1, 0, 1, 0]
    const expected = await two(tensor(scores), labels(target))
    expect(await two(tensor(scores.toReversed()), labels(target.toReversed()))).toBeCloseTo(expected, 12)
  })

  test('ignored rows do not count, not even for whether scores are probabilities', async () => {
    const preds = tensor([0.9, 0.2, 7, 0.4])
    expect(await two(preds, labels([1, 0, -1, 1]), { ignoreIndex: -1 })).toBe(
      await two(tensor([0.9, 0.2, 0.4]), labels([1, 0, 1])),
    )
  })

  test('NaN among the scores is NaN', async () => {
    expect(await two(tensor([0.1, NaN, 0.3]), labels([1, 0, 1]))).toBeNaN()
    expect(await many(matrix([1, 2, NaN, 1], [2, 2]), labels([0, 1]))).toBeNaN()
  })
})

test('known values: all in order, none in order, all equal', async () => {
  const target = labels([0, 0, 1, 1])
  expect(await binaryAuroc(tensor([0.1, 0.2, 0.3, 0.4]), target)).toBe(1)
  expect(await binaryAuroc(tensor([0.4, 0.3, 0.2, 0.1]), target)).toBe(0)
  expect(await binaryAuroc(tensor([0.5, 0.5, 0.5, 0.5]), target)).toBe(0.5)
  expect(await binaryAveragePrecision(tensor([0.5, 0.5, 0.5, 0.5]), target)).toBe(0.5)
  expect(await binaryAuroc(tensor([0.1, 0.4, 0.35, 0.8]), target)).toBe(0.75) // scikit-learn's own example
  expect(await binaryAuroc(tensor([0.1, 0.4]), labels([1, 1]))).toBe(0)
})

test('over batches: every row counts as if all came together, and comes back from a saved state', async () => {
  const random = randomFrom(13)
  const scores = Array.from({ length: 30 * 3 }, () => Math.fround(random()))
  const target = Array.from({ length: 30 }, () => integer(random, 3))
  const [preds, wanted] = [matrix(scores, [30, 3]), labels(target)]
  const [one, right] = [preds.select(1, 0), labels(target.map((label) => Number(label === 0)))]
  const cases = [
    [() => new MulticlassAUROC({ numClasses: 3 }), preds, wanted, multiclassAuroc(preds, wanted)],
    [() => new MulticlassAveragePrecision(), preds, wanted, multiclassAveragePrecision(preds, wanted)],
    [() => new BinaryAUROC(), one, right, binaryAuroc(one, right)],
    [() => new BinaryAveragePrecision(), one, right, binaryAveragePrecision(one, right)],
  ] as const
  for (const [make, a, b, all] of cases) {
    const first = make()
    first.update(a.narrow(0, 0, 9), b.narrow(0, 0, 9))
    first.update(a.narrow(0, 9, 1), b.narrow(0, 9, 1))
    const second = make()
    second.loadState(first.state())
    second.update(a.narrow(0, 10, 20), b.narrow(0, 10, 20))
    expect(await second.compute()).toBe(await all)
  }
})

test('bad input is refused with both shapes', async () => {
  await expect(binaryAuroc(zeros([3]), labels([0, 1]))).rejects.toThrow(/\[3\].*\[2\]/)
  await expect(multiclassAuroc(zeros([3, 2]), labels([0, 1]))).rejects.toThrow(/\[3, 2\].*\[2\]/)
  await expect(multiclassAuroc(labels([0, 1]), labels([0, 1]), { numClasses: 2 })).rejects.toThrow(/scores/)
  await expect(binaryAuroc(zeros([2]), labels([0, 2]))).rejects.toThrow(/0 … 1/)
})
