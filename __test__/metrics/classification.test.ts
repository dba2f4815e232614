import { describe, expect, test } from 'vitest'
import {
  BinaryAccuracy,
  binaryAccuracy,
  binaryConfusionMatrix,
  binaryF1Score,
  binaryPrecision,
  binaryRecall,
  BinaryF1Score,
  BinaryPrecision,
  BinaryRecall,
  MulticlassAccuracy,
  multiclassAccuracy,
  multiclassConfusionMatrix,
  MulticlassConfusionMatrix,
  MulticlassF1Score,
  multiclassF1Score,
  MulticlassPrecision,
  multiclassPrecision,
  MulticlassRecall,
  multiclassRecall,
  multiclassStatScores,
  BinaryConfusionMatrix,
} from '../../src/metrics/index.js'
import { memory, scope, tensor, zeros } from '../../src/tensor/index.js'
import { integer, labels, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

/** The class predicted for each row, the definition in loops: the target if fewer than k scores come before it. */
function predictions(scores: number[][], target: number[], k: number): number[] {
  return scores.map((row, i) => {
    const order = row.map((_, c) => c).toSorted((a, b) => row[b]! - row[a]! || a - b)
    return order.slice(0, k).includes(target[i]!) ? target[i]! : order[0]!
  })
}

function slowScores(predicted: number[], target: number[], classes: number): Record<string, number[]> {
  const found: Record<string, number[]> = { accuracy: [], precision: [], recall: [], f1: [], support: [], guessed: [] }
  for (let c = 0; c < classes; c += 1) {
    let [right, guessed, support] = [0, 0, 0]
    for (const [i, p] of predicted.entries()) {
      if (p === c && target[i] === c) right += 1
      if (p === c) guessed += 1
      if (target[i] === c) support += 1
    }
    found['precision']!.push(guessed === 0 ? 0 : right / guessed)
    found['recall']!.push(support === 0 ? 0 : right / support)
    found['accuracy']!.push(support === 0 ? 0 : right / support)
    found['f1']!.push(guessed + support === 0 ? 0 : (2 * right) / (guessed + support))
    found['support']!.push(support)
    found['guessed']!.push(guessed)
  }
  return found
}

const functions = {
  accuracy: multiclassAccuracy,
  precision: multiclassPrecision,
  recall: multiclassRecall,
  f1: multiclassF1Score,
} as const

describe.each(Object.keys(functions) as (keyof typeof functions)[])('multiclass %s', (name) => {
  test('is that of plain loops, whatever the shape, k and average', async () => {
    const random = randomFrom(3)
    for (let round = 0; round < 30; round += 1) {
      const classes = 1 + integer(random, 6)
      const rows = integer(random, 25)
      const k = round % 2 === 0 ? 1 : 1 + integer(random, classes)
      const scores = normals(random, rows * classes)
      const target = Array.from({ length: rows }, () => integer(random, Math.max(1, classes - 1))) // the last is absent
      const predicted = predictions(rowsOf(scores, classes), target, k)
      const slow = slowScores(predicted, target, classes)
      const each = slow[name]!
      const act = <A extends 'micro' | 'macro' | 'weighted' | 'none'>(average: A) =>
        functions[name](matrix(scores, [rows, classes]), labels(target), { average, topK: k })

      expect(Array.from(await act('none'))).toEqual(each.map((value) => expect.closeTo(value, 12) as number))
      const counts = (c: number) => slow['support']![c]! > 0 || ((k === 1 || name === 'f1') && slow['guessed']![c]! > 0)
      const present = each.filter((_, c) => counts(c))
      const macro = present.length === 0 ? 0 : present.reduce((a, b) => a + b, 0) / present.length
      expect(await act('macro')).toBeCloseTo(macro, 12)
      const weighted = rows === 0 ? 0 : each.reduce((sum, value, c) => sum + value * slow['support']![c]!, 0) / rows
      expect(await act('weighted')).toBeCloseTo(weighted, 12)
      const micro = rows === 0 ? 0 : predicted.filter((p, i) => p === target[i]).length / rows
      expect(await act('micro')).toBeCloseTo(micro, 12)
    }
  })

  test('leaves out ignored rows, inside or outside the range of classes', async () => {
    const random = randomFrom(4)
    const scores = normals(random, 30 * 4)
    const target = Array.from({ length: 30 }, () => integer(random, 4))
    const keep = target.map(() => random() < 0.6)
    for (const mark of [-1, -100, 4, 255]) {
      const marked = target.map((label, i) => (keep[i] ? label : mark))
      const kept = rowsOf(scores, 4).filter((_, i) => keep[i])
      expect(await functions[name](matrix(scores, [30, 4]), labels(marked), { ignoreIndex: mark })).toBe(
        await functions[name](matrix(kept.flat(), [kept.length, 4]), labels(target.filter((_, i) => keep[i]))),
      )
    }
  })

  test('takes class numbers, and further axes of both', async () => {
    const random = randomFrom(5)
    const [batch, classes, side] = [3, 4, 5]
    const predicted = Array.from({ length: batch * side }, () => integer(random, classes))
    const target = Array.from({ length: batch * side }, () => integer(random, classes))
    const expected = await functions[name](labels(predicted), labels(target), { numClasses: classes })
    const square = functions[name](labels(predicted, [batch, side]), labels(target, [batch, side]), {
      numClasses: classes,
    })
    expect(await square).toBe(expected)
    const oneHot = labels(predicted, [batch, side]).oneHot(classes).to('float32').permute([0, 2, 1]) // [batch, classes, side]
    expect(await functions[name](oneHot, labels(target, [batch, side]))).toBe(expected)
  })
})

test('of equal scores the class with the lowest number is the prediction', async () => {
  const scores = matrix([1, 1, 1, 0, 2, 2], [2, 3])
  expect(await multiclassAccuracy(scores, labels([0, 1]), { average: 'micro' })).toBe(1)
  expect(await multiclassAccuracy(scores, labels([1, 2]), { average: 'micro' })).toBe(0)
  expect(await multiclassAccuracy(scores, labels([2, 2]), { average: 'micro', topK: 2 })).toBe(0.5)
})

test('zeroDivision is the value of classes without a prediction', async () => {
  const [predicted, target] = [labels([0, 0]), labels([0, 1])]
  const options = { numClasses: 3, average: 'none' } as const
  expect(await multiclassPrecision(predicted, target, { ...options, zeroDivision: 1 })).toEqual(
    Float64Array.of(0.5, 1, 1),
  )
  expect(await multiclassPrecision(predicted, target, options)).toEqual(Float64Array.of(0.5, 0, 0))
})

test('beta moves F from precision to recall', async () => {
  const [predicted, target] = [labels([1, 1, 1, 0]), labels([1, 0, 0, 1])] // precision 1/3, recall 1/2 of class 1
  const f = (beta: number) => (1 + beta ** 2) / (beta ** 2 / (1 / 2) + 1 / (1 / 3))
  for (const beta of [0.5, 1, 2]) expect(await binaryF1Score(predicted, target, { beta })).toBeCloseTo(f(beta), 12)
  const [none] = await multiclassF1Score(predicted, target, { beta: 2, numClasses: 2, average: 'none' })
  expect(none).toBe(0)
})

describe('binary', () => {
  const slow = (predicted: number[], target: number[]): Record<string, number> => {
    const count = (p: number, t: number) => predicted.filter((value, i) => value === p && target[i] === t).length
    const [right, wrong, missed, rest] = [count(1, 1), count(1, 0), count(0, 1), count(0, 0)]
    const ratio = (a: number, b: number) => (b === 0 ? 0 : a / b)
    return {
      accuracy: ratio(right + rest, predicted.length),
      precision: ratio(right, right + wrong),
      recall: ratio(right, right + missed),
      f1: ratio(2 * right, 2 * right + wrong + missed),
    }
  }

  test('scores are those of plain loops, from probabilities, logits and class numbers', async () => {
    const random = randomFrom(6)
    for (let round = 0; round < 20; round += 1) {
      const rows = integer(random, 20)
      const threshold = [0.5, 0.3][round % 2]!
      const logits = normals(random, rows)
      const probabilities = logits.map((x) => Math.fround(1 / (1 + Math.exp(-x))))
      const target = logits.map(() => integer(random, 2))
      const outside = logits.some((x) => x < 0 || x > 1)
      for (const scores of [probabilities, ...(outside ? [logits] : [])]) {
        const expected = slow(
          probabilities.map((p) => Number(p > threshold)),
          target,
        )
        const [preds, labelled] = [matrix(scores, [rows]), labels(target)]
        expect(await binaryAccuracy(preds, labelled, { threshold })).toBeCloseTo(expected['accuracy']!, 12)
        expect(await binaryPrecision(preds, labelled, { threshold })).toBeCloseTo(expected['precision']!, 12)
        expect(await binaryRecall(preds, labelled, { threshold })).toBeCloseTo(expected['recall']!, 12)
        expect(await binaryF1Score(preds, labelled, { threshold })).toBeCloseTo(expected['f1']!, 12)
      }
    }
  })

  test('a probability equal to the threshold is class 0', async () => {
    expect(await binaryAccuracy(tensor([0.5]), labels([0]))).toBe(1)
  })

  test('its confusion matrix has targets as rows', async () => {
    const found = binaryConfusionMatrix(labels([1, 1, 0, 1]), labels([0, 1, 1, 1]))
    expect(Array.from(await found.data(), Number)).toEqual([0, 1, 1, 2])
  })
})

describe('confusion matrix', () => {
  test('counts pairs: rows are targets, columns predictions', async () => {
    const random = randomFrom(8)
    for (let round = 0; round < 10; round += 1) {
      const classes = 1 + integer(random, 5)
      const rows = integer(random, 30)
      const [predicted, target] = [0, 1].map(() => Array.from({ length: rows }, () => integer(random, classes))) as [
        number[],
        number[],
      ]
      const expected = Array.from({ length: classes * classes }, () => 0)
      for (const [i, p] of predicted.entries()) expected[target[i]! * classes + p]! += 1
      const found = multiclassConfusionMatrix(labels(predicted), labels(target), { numClasses: classes })
      expect(found.dtype).toBe('int64')
      expect(found.shape).toEqual([classes, classes])
      expect(Array.from(await found.data(), Number)).toEqual(expected)
    }
  })

  test('is divided by rows, columns or everything; an empty row stays 0', async () => {
    const [predicted, target] = [labels([0, 1, 1, 0]), labels([0, 0, 1, 1])]
    const act = async (normalize: 'true' | 'pred' | 'all') =>
      Array.from(await multiclassConfusionMatrix(predicted, target, { numClasses: 3, normalize }).data(), Number)
    expect(await act('true')).toEqual([0.5, 0.5, 0, 0.5, 0.5, 0, 0, 0, 0])
    expect(await act('pred')).toEqual([0.5, 0.5, 0, 0.5, 0.5, 0, 0, 0, 0])
    expect(await act('all')).toEqual([0.25, 0.25, 0, 0.25, 0.25, 0, 0, 0, 0])
  })
})

describe('over batches', () => {
  const random = randomFrom(9)
  const scores = normals(random, 40 * 5)
  const target = Array.from({ length: 40 }, () => integer(random, 5))
  const whole = [matrix(scores, [40, 5]), labels(target)] as const
  const [preds, wanted] = whole
  const ofTwo = () => [matrix(scores.slice(0, 40), [40]), labels(target.map((label) => label % 2))] as const

  const multiclass = {
    MulticlassAccuracy: [
      () => new MulticlassAccuracy({ numClasses: 5, topK: 2 }),
      () => multiclassAccuracy(preds, wanted, { topK: 2 }),
    ],
    MulticlassPrecision: [() => new MulticlassPrecision({ numClasses: 5 }), () => multiclassPrecision(preds, wanted)],
    MulticlassRecall: [
      () => new MulticlassRecall({ numClasses: 5, average: 'weighted' }),
      () => multiclassRecall(preds, wanted, { average: 'weighted' }),
    ],
    MulticlassF1Score: [
      () => new MulticlassF1Score({ numClasses: 5, beta: 2 }),
      () => multiclassF1Score(preds, wanted, { beta: 2 }),
    ],
  } as const
  const binary = {
    BinaryAccuracy: [() => new BinaryAccuracy(), () => binaryAccuracy(...ofTwo())],
    BinaryPrecision: [() => new BinaryPrecision(), () => binaryPrecision(...ofTwo())],
    BinaryRecall: [() => new BinaryRecall(), () => binaryRecall(...ofTwo())],
    BinaryF1Score: [() => new BinaryF1Score({ beta: 0.5 }), () => binaryF1Score(...ofTwo(), { beta: 0.5 })],
  } as const

  test.each(Object.entries({ ...multiclass, ...binary }))(
    '%s has the value of all rows together',
    async (name, [make, all]) => {
      const [a, b] = name.startsWith('Binary') ? ofTwo() : whole
      const metric = make()
      for (const [start, length] of [
        [0, 7],
        [7, 1],
        [8, 32],
      ] as const)
        metric.update(a.narrow(0, start, length), b.narrow(0, start, length))
      expect(await metric.compute()).toBe(await all())
      // Saved and loaded between batches it is the same.
      const resumed = make()
      resumed.update(a.narrow(0, 0, 11), b.narrow(0, 0, 11))
      const other = make()
      other.loadState(resumed.state())
      resumed.reset()
      other.update(a.narrow(0, 11, 29), b.narrow(0, 11, 29))
      expect(await other.compute()).toBe(await all())
      expect(resumed.empty).toBe(true)
      await expect(resumed.compute()).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    },
  )

  test('confusion matrices add up', async () => {
    const metric = new MulticlassConfusionMatrix({ numClasses: 5 })
    metric.update(preds.narrow(0, 0, 13), wanted.narrow(0, 0, 13))
    metric.update(preds.narrow(0, 13, 27), wanted.narrow(0, 13, 27))
    expect(await (await metric.compute()).data()).toEqual(await multiclassConfusionMatrix(...whole).data())
    const two = new BinaryConfusionMatrix({ normalize: 'all' })
    two.update(...ofTwo())
    expect(await (await two.compute()).data()).toEqual(
      await binaryConfusionMatrix(...ofTwo(), { normalize: 'all' }).data(),
    )
  })

  test('nothing is kept beyond the sums, and reset frees those', async () => {
    const metric = new MulticlassAccuracy({ numClasses: 5 })
    const before = memory().liveBuffers
    for (let step = 0; step < 5; step += 1) metric.update(preds, wanted)
    expect(memory().liveBuffers).toBe(before + 1)
    await scope(() => metric.compute())
    metric.reset()
    expect(memory().liveBuffers).toBe(before)
  })
})

describe('bad input is refused', () => {
  const three = { numClasses: 3 }
  test.each([
    ['rows of both', 'ERR_SHAPE', /\[4, 3\].*\[2\]/, () => multiclassStatScores(zeros([4, 3]), labels([0, 1]))],
    ['width', 'ERR_SHAPE', /\[2, 4\].*\[2\]/, () => multiclassStatScores(zeros([2, 4]), labels([0, 1]), three)],
    ['rows of two classes', 'ERR_SHAPE', /\[4\].*\[2\]/, () => binaryConfusionMatrix(zeros([4]), labels([0, 1]))],
    ['target too large', 'ERR_ARGUMENT', /targets.*0 … 2/, () => multiclassStatScores(zeros([2, 3]), labels([0, 3]))],
    ['target below 0', 'ERR_ARGUMENT', /targets/, () => multiclassStatScores(zeros([2, 3]), labels([0, -1]))],
    ['prediction', 'ERR_ARGUMENT', /predictions/, () => multiclassConfusionMatrix(labels([9]), labels([0]), three)],
    ['classes unknown', 'ERR_ARGUMENT', /numClasses/, () => multiclassStatScores(labels([0]), labels([0]))],
    ['topK', 'ERR_ARGUMENT', /topK/, () => multiclassStatScores(zeros([2, 3]), labels([0, 1]), { topK: 4 })],
    ['type', 'ERR_DTYPE', /float32/, () => multiclassStatScores(zeros([2, 3]), tensor([0, 1]))],
  ] as const)('%s', (_, code, message, act) => {
    expect(act).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) as string }))
  })
})
