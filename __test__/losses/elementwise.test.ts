import { describe, expect, test } from 'vitest'
import {
  binaryCrossEntropyWithLogits,
  huberLoss,
  klDiv,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from '../../src/losses/index.js'
import { tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { integer, matrix, normals, randomFrom } from '../plain-arrays.js'

type Reduction = 'mean' | 'sum' | 'none'
type Loss = (input: Tensor, target: Tensor, options: { reduction: Reduction }) => Tensor

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Each with its definition for one element; targets are made to lie in its range. */
const losses: [string, Loss, (x: number, y: number) => number, (y: number) => number][] = [
  ['mse', mseLoss, (x, y) => (x - y) ** 2, (y) => y],
  ['l1', l1Loss, (x, y) => Math.abs(x - y), (y) => y],
  [
    'smooth L1, β 0.5',
    (x, y, options) => smoothL1Loss(x, y, { beta: 0.5, ...options }),
    (x, y) => (Math.abs(x - y) < 0.5 ? (x - y) ** 2 : Math.abs(x - y) - 0.25),
    (y) => y,
  ],
  [
    'smooth L1, β 0',
    (x, y, options) => smoothL1Loss(x, y, { beta: 0, ...options }),
    (x, y) => Math.abs(x - y),
    (y) => y,
  ],
  [
    'Huber, δ 2',
    (x, y, options) => huberLoss(x, y, { delta: 2, ...options }),
    (x, y) => (Math.abs(x - y) <= 2 ? 0.5 * (x - y) ** 2 : 2 * (Math.abs(x - y) - 1)),
    (y) => y,
  ],
  ['Kullback–Leibler', klDiv, (x, y) => (y === 0 ? 0 : y * (Math.log(y) - x)), (y) => Math.max(0, y)],
  [
    'binary cross-entropy of logits',
    binaryCrossEntropyWithLogits,
    (x, y) => -(y * Math.log(sigmoid(x)) + (1 - y) * Math.log(1 - sigmoid(x))),
    (y) => Math.min(1, Math.abs(y)),
  ],
]

describe.each(losses)('%s', (_, loss, definition, range) => {
  test('is that of its definition, element by element, summed and as a mean', async () => {
    const random = randomFrom(31)
    for (const shape of [[4, 3], [1], [2, 1, 5], [1 + integer(random, 30)]]) {
      const count = shape.reduce((a, b) => a * b, 1)
      const [x, y] = [
        normals(random, count).map((value) => Math.fround(2 * value)),
        normals(random, count).map((value) => Math.fround(range(value))),
      ]
      const expected = x.map((value, i) => definition(value, y[i]!))
      const [input, target] = [matrix(x, shape), matrix(y, shape)]
      const none = loss(input, target, { reduction: 'none' })
      expect(none.shape).toEqual(shape)
      Array.from((await none.data()) as Float32Array).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4))
      const sum = expected.reduce((a, b) => a + b, 0)
      expect(await loss(input, target, { reduction: 'sum' }).item()).toBeCloseTo(sum, 3)
      expect(await loss(input, target, { reduction: 'mean' }).item()).toBeCloseTo(sum / count, 4)
    }
  })

  test('of nothing is 0 as a sum and NaN as a mean, as in PyTorch; NaN stays NaN', async () => {
    expect(await loss(zeros([0, 3]), zeros([0, 3]), { reduction: 'sum' }).item()).toBe(0)
    expect(await loss(zeros([0, 3]), zeros([0, 3]), { reduction: 'mean' }).item()).toBeNaN()
    expect(await loss(tensor([NaN, 0]), tensor([0.5, 0.5]), { reduction: 'mean' }).item()).toBeNaN()
    expect(await loss(tensor([0.5, 0]), tensor([NaN, 0.5]), { reduction: 'mean' }).item()).toBeNaN()
  })

  test('its gradients are those of finite differences', async () => {
    const random = randomFrom(32)
    const target = point(random, 3, 4)
    await expectGradients(
      (x, y) => loss(x, y, { reduction: 'mean' }),
      [point(random, 3, 4), { ...target, values: target.values.map((y) => range(Math.abs(y) + 0.1)) }],
    )
  })

  test('says which shapes do not meet', () => {
    expect(() => loss(zeros([3, 4]), zeros([3, 5]), { reduction: 'mean' })).toThrow(/\[3, [45]\].*\[3, [45]\]/)
  })
})

test('a batch mean of Kullback–Leibler divides by the rows', async () => {
  const [input, target] = [
    tensor([
      [-1, -2],
      [-3, -1],
    ]),
    tensor([
      [0.5, 0.5],
      [0.2, 0.8],
    ]),
  ]
  const sum = await klDiv(input, target, { reduction: 'sum' }).item()
  expect(await klDiv(input, target, { reduction: 'batchmean' }).item()).toBeCloseTo(sum / 2, 6)
})

test('weights of elements and of the positive class; large logits lose nothing', async () => {
  const [input, target] = [tensor([1, -2]), tensor([1, 0])]
  const both = [-Math.log(sigmoid(1)), -Math.log(1 - sigmoid(-2))] as const
  const act = (options: object) => binaryCrossEntropyWithLogits(input, target, { reduction: 'sum', ...options }).item()
  expect(await act({ weight: tensor([3, 5]) })).toBeCloseTo(3 * both[0] + 5 * both[1], 5)
  expect(await act({ posWeight: tensor([4, 4]) })).toBeCloseTo(4 * both[0] + both[1], 5)
  expect(await binaryCrossEntropyWithLogits(tensor([1000, -1000]), tensor([0, 1])).item()).toBe(1000)
})
