import { describe, expect, test } from 'vitest'
import {
  BinaryCalibrationError,
  binaryCalibrationError,
  MulticlassCalibrationError,
  multiclassCalibrationError,
} from '../../src/metrics/index.js'
import { tensor, zeros } from '../../src/tensor/index.js'
import { integer, labels, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

type Norm = 'l1' | 'l2' | 'max'

/** Bins [i / n, (i + 1) / n), and one of its own for 1. */
function slow(confidence: number[], right: number[], bins: number, norm: Norm): number {
  const distances: number[] = []
  const shares: number[] = []
  for (let bin = 0; bin <= bins; bin += 1) {
    const rows = confidence.flatMap((value, row) => (Math.min(bins, Math.floor(value * bins)) === bin ? [row] : []))
    if (rows.length === 0) continue
    const mean = (values: number[]) => rows.reduce((sum, row) => sum + values[row]!, 0) / rows.length
    distances.push(Math.abs(mean(confidence) - mean(right)))
    shares.push(rows.length / confidence.length)
  }
  if (norm === 'max') return Math.max(...distances)
  const sum = distances.reduce((all, distance, i) => all + distance ** (norm === 'l1' ? 1 : 2) * shares[i]!, 0)
  return norm === 'l1' ? sum : Math.sqrt(sum)
}

describe.each(['l1', 'l2', 'max'] as Norm[])('%s', (norm) => {
  test('of many classes is that of plain loops', async () => {
    const random = randomFrom(21)
    for (let round = 0; round < 15; round += 1) {
      const classes = 2 + integer(random, 4)
      const rows = 1 + integer(random, 50)
      const nBins = 1 + integer(random, 15)
      const logits = normals(random, rows * classes)
      const target = Array.from({ length: rows }, () => integer(random, classes))
      const table = rowsOf(logits, classes)
      if (!logits.some((x) => x < 0 || x > 1)) continue
      const confidence = table.map((row) => 1 / row.reduce((sum, x) => sum + Math.exp(x - Math.max(...row)), 0))
      const right = table.map((row, i) => Number(row.indexOf(Math.max(...row)) === target[i]))
      const found = await multiclassCalibrationError(matrix(logits, [rows, classes]), labels(target), { nBins, norm })
      expect(found).toBeCloseTo(slow(confidence, right, nBins, norm), 5)
    }
  })

  test('of two classes compares the probability of class 1 with its share', async () => {
    const random = randomFrom(22)
    const confidence = Array.from({ length: 60 }, () => Math.fround(random()))
    const target = confidence.map((p) => Number(random() < p))
    for (const nBins of [1, 7, 15]) {
      const found = await binaryCalibrationError(matrix(confidence, [60]), labels(target), { nBins, norm })
      expect(found).toBeCloseTo(slow(confidence, target, nBins, norm), 5)
    }
  })
})

test('known values', async () => {
  // The middle bin is off by |0.55 − 0.5|, the others by |0.25 − 0| and |0.75 − 1|.
  const preds = tensor([0.25, 0.25, 0.55, 0.55, 0.75])
  const target = labels([0, 0, 1, 0, 1])
  expect(await binaryCalibrationError(preds, target, { nBins: 2, norm: 'max' })).toBeCloseTo(0.25, 6)
  expect(await binaryCalibrationError(preds, target, { nBins: 4, norm: 'l1' })).toBeCloseTo(
    (2 * 0.25 + 2 * 0.05 + 0.25) / 5,
    6,
  )
  expect(await binaryCalibrationError(tensor([1, 1, 0]), labels([1, 1, 0]))).toBe(0)
})

test('over batches it needs the sums of its bins only, and comes back from a saved state', async () => {
  const random = randomFrom(23)
  const logits = normals(random, 40 * 3)
  const target = Array.from({ length: 40 }, () => integer(random, 3))
  const [preds, wanted] = [matrix(logits, [40, 3]).softmax(1), labels(target)]
  const first = new MulticlassCalibrationError({ numClasses: 3 })
  first.update(preds.narrow(0, 0, 15), wanted.narrow(0, 0, 15))
  expect(Object.values(first.state()).map((sum) => (sum as { shape: number[] }).shape)).toEqual([[16], [16], [16]])
  const second = new MulticlassCalibrationError({ numClasses: 3 })
  second.loadState(first.state())
  second.update(preds.narrow(0, 15, 25), wanted.narrow(0, 15, 25))
  expect(await second.compute()).toBeCloseTo(await multiclassCalibrationError(preds, wanted), 12)
  const binary = new BinaryCalibrationError({ norm: 'l2' })
  binary.update(tensor([0.2, 0.9]), labels([0, 1]))
  expect(await binary.compute()).toBe(await binaryCalibrationError(tensor([0.2, 0.9]), labels([0, 1]), { norm: 'l2' }))
})

test('ignored rows do not count', async () => {
  const preds = tensor([0.2, 0.9, 0.6])
  expect(await binaryCalibrationError(preds, labels([0, -1, 1]), { ignoreIndex: -1 })).toBe(
    await binaryCalibrationError(tensor([0.2, 0.6]), labels([0, 1])),
  )
})

test('NaN among the scores is NaN', async () => {
  for (const norm of ['l1', 'l2', 'max'] as Norm[]) {
    expect(await binaryCalibrationError(tensor([0.3, NaN]), labels([0, 1]), { norm })).toBeNaN()
  }
})

test('bad input is refused', async () => {
  await expect(binaryCalibrationError(zeros([3]), labels([0, 1]))).rejects.toThrow(/\[3\].*\[2\]/)
  await expect(multiclassCalibrationError(labels([0, 1]), labels([0, 1]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  await expect(multiclassCalibrationError(zeros([2, 2]), labels([0, 2]))).rejects.toThrow(/0 … 1/)
  expect(() => new BinaryCalibrationError({ nBins: 0 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
