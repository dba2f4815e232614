import { describe, expect, test } from 'vitest'
import {
  data2vecLoss,
  hogPerPatch,
  mae,
  MAELoss,
  nextEmbeddingLoss,
  normalisePatches,
  patchify,
  simMimLoss,
  unpatchify,
} from '../../src/losses/index.js'
import { arange, tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const list = async (values: Tensor): Promise<number[]> => Array.from((await values.data()) as Float64Array, Number)
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length

test('patches hold C, p, p in this order, row by row; unpatchify puts them back', async () => {
  const images = arange(2 * 2 * 4 * 6)
    .to('float32')
    .reshape([2, 2, 4, 6])
  const patches = patchify(images, [2, 2, 2])
  expect(patches.shape).toEqual([2, 6, 8])
  expect((await list(patches)).slice(8, 16)).toEqual([2, 3, 8, 9, 26, 27, 32, 33])
  expect(await list(unpatchify(patches, [2, 2, 2], [1, 2, 3]))).toEqual(await list(images))
  expect(() => patchify(images, [2, 3, 2])).toThrow(/\[2, 2, 4, 6\].*2×3×2/)
  expect(() => unpatchify(patches, [2, 2, 2], [1, 2, 2])).toThrow(/6 patches/)
})

test('normalised patches have mean 0 and unbiased variance 1; flat ones are safe', async () => {
  const values = rowsOf(await list(normalisePatches(matrix(normals(randomFrom(61), 20), [4, 5]))), 5)
  for (const row of values) {
    expect(mean(row)).toBeCloseTo(0, 5)
    expect(row.reduce((sum, x) => sum + x * x, 0) / 4).toBeCloseTo(1, 3)
  }
  expect(await list(normalisePatches(zeros([1, 3]).add(7)))).toEqual([0, 0, 0])
})

describe('MAE', () => {
  const random = randomFrom(62)
  const [batch, patches, width] = [2, 4, 12] // 3 channels, 2 × 2 pixels
  const target = normals(random, batch * patches * width)
  const prediction = normals(random, batch * patches * width)
  const mask = [1, 0, 1, 1, 0, 0, 1, 0]
  const [targets, predictions] = [rowsOf(target, width), rowsOf(prediction, width)]
  const images = unpatchify(matrix(target, [batch, patches, width]), [3, 2, 2], [1, 2, 2]).keep()
  const predicted = matrix(prediction, [batch, patches, width]).keep()
  const masked = tensor(mask, { shape: [batch, patches], dtype: 'uint8' }).keep()

  const normal = (row: number[]): number[] => {
    const m = mean(row)
    const std = Math.sqrt(row.reduce((sum, x) => sum + (x - m) ** 2, 0) / (row.length - 1) + 1e-6)
    return row.map((x) => (x - m) / std)
  }
  const of = {
    mse: (p: number[], t: number[]) => mean(p.map((x, i) => (x - t[i]!) ** 2)),
    smooth_l1: (p: number[], t: number[]) =>
      mean(p.map((x, i) => (Math.abs(x - t[i]!) < 1 ? 0.5 * (x - t[i]!) ** 2 : Math.abs(x - t[i]!) - 0.5))),
    cosine: (p: number[], t: number[]) =>
      1 - p.reduce((sum, x, i) => sum + x * t[i]!, 0) / (Math.hypot(...p) * Math.hypot(...t)),
  }

  test.each(Object.keys(of) as (keyof typeof of)[])(
    '%s of masked or all patches, mean or sum, in plain loops',
    async (lossType) => {
      for (const patchNormalize of [true, false]) {
        const each = predictions.map((row, i) => of[lossType](row, patchNormalize ? normal(targets[i]!) : targets[i]!))
        const chosen = each.filter((_, i) => mask[i] === 1)
        for (const [maskOnly, reduction, expected] of [
          [true, 'mean', mean(chosen)],
          [true, 'sum', chosen.reduce((a, b) => a + b)],
          [false, 'mean', mean(each)],
          [false, 'sum', each.reduce((a, b) => a + b)],
        ] as const) {
          const loss = new MAELoss({ patchSize: 2, lossType, maskOnly, patchNormalize, reduction })
          expect(await loss.forward(predicted, images, masked).item()).toBeCloseTo(expected, 4)
        }
      }
    },
  )

  test('as a function of patches; SimMIM is its absolute difference', async () => {
    const patched = matrix(target, [batch, patches, width])
    for (const normPixLoss of [true, false]) {
      const each = predictions.map((row, i) => of.mse(row, normPixLoss ? normal(targets[i]!) : targets[i]!))
      const found = await mae(patched, predicted, masked, { normPixLoss }).item()
      expect(found).toBeCloseTo(mean(each.filter((_, i) => mask[i] === 1)), 4)
    }
    const absolute = predictions.map((row, i) => mean(row.map((x, j) => Math.abs(x - targets[i]![j]!))))
    expect(await simMimLoss(predicted, patched, masked).item()).toBeCloseTo(
      mean(absolute.filter((_, i) => mask[i] === 1)),
      4,
    )
  })

  test('a loss of one’s own is registered', async () => {
    const loss = new MAELoss({ patchSize: 2, lossType: 'custom', patchNormalize: false })
    expect(() => loss.forward(predicted, images, masked)).toThrow(/registerCustomLoss/)
    loss.registerCustomLoss((p, t) => p.sub(t).abs().amax(-1))
    const largest = predictions.map((row, i) => Math.max(...row.map((x, j) => Math.abs(x - targets[i]![j]!))))
    const expected = mean(largest.filter((_, i) => mask[i] === 1))
    expect(await loss.forward(predicted, images, masked).item()).toBeCloseTo(expected, 5)
    loss.registerCustomLoss((p) => p.mean())
    expect(() => loss.forward(predicted, images, masked)).toThrow(/losses of patches and mask/)
  })

  test('a mask that is empty is NaN, and so is NaN in a prediction; shapes that do not fit are in the message', async () => {
    const loss = new MAELoss({ patchSize: 2 })
    expect(await loss.forward(predicted, images, zeros([batch, patches])).item()).toBeNaN()
    expect(await loss.forward(predicted.mul(NaN), images, masked).item()).toBeNaN()
    expect(() => loss.forward(zeros([2, 3, 12]), images, masked)).toThrow(/\[2, 3, 12\].*\[2, 4, 12\]/)
    expect(() => loss.forward(predicted, images, zeros([1, patches]))).toThrow(/\[2, 4\] and \[1, 4\]/)
    expect(() => loss.forward(predicted, zeros([3, 4, 4]), masked)).toThrow(/\[3, 4, 4\]/)
    expect(() => new MAELoss({ patchSize: 3 }).forward(predicted, images, masked)).toThrow(/3×3×3/)
  })
})

test('data2vec: smooth L1 to layer-normed targets, which are detached', async () => {
  const random = randomFrom(63)
  const [prediction, target] = [normals(random, 24), normals(random, 24)]
  const mask = [1, 0, 0, 1, 1, 0]
  const each = rowsOf(prediction, 4).map((row, i) => {
    const own = rowsOf(target, 4)[i]!
    const std = Math.sqrt(own.reduce((sum, x) => sum + (x - mean(own)) ** 2, 0) / 4 + 1e-5)
    return mean(row.map((x, j) => Math.abs(x - (own[j]! - mean(own)) / std)).map((d) => (d < 2 ? d ** 2 / 4 : d - 1)))
  })
  const goal = matrix(target, [2, 3, 4])
  goal.requiresGrad = true
  const loss = data2vecLoss(matrix(prediction, [2, 3, 4]), goal, tensor(mask, { shape: [2, 3] }))
  expect(await loss.item()).toBeCloseTo(mean(each.filter((_, i) => mask[i] === 1)), 4)
  expect(loss.requiresGrad).toBe(false)
})

test('NEPA: token i predicts the embedding of token i + 1', async () => {
  const embeddings = tensor([
    [
      [1, 0],
      [0, 2],
      [3, 3],
    ],
  ])
  const predictions = tensor([
    [
      [0, 5],
      [1, 0],
      [9, 9],
    ],
  ]) // right, at 45°, not asked
  expect(await nextEmbeddingLoss(embeddings, predictions).item()).toBeCloseTo(-(1 + Math.SQRT1_2) / 2, 6)
  expect(() => nextEmbeddingLoss(zeros([1, 1, 2]), zeros([1, 1, 2]))).toThrow(/\[1, 1, 2\]/)
})

test('histograms of gradients: edges of one direction fill one bin; patches must divide', async () => {
  const ramp = arange(8).to('float32').reshape([1, 1, 1, 8]).expand([1, 1, 8, 8]).contiguous()
  const found = hogPerPatch(ramp, { patchSize: 4, bins: 4 })
  expect(found.shape).toEqual([1, 4, 4])
  const [first = []] = rowsOf(await list(found), 4)
  expect(first.indexOf(Math.max(...first))).toBe(0)
  expect(() => hogPerPatch(ramp, { patchSize: 3 })).toThrow(/\[1, 1, 8, 8\].*3 pixels/)
})

describe('gradients are those of finite differences', () => {
  const random = randomFrom(64)
  const other = () => tensor(Float64Array.from(fixed.values), { shape: [2, 4, 12] })
  const fixed = point(random, 2, 4, 12)
  const images = () => unpatchify(other(), [3, 2, 2], [1, 2, 2])
  const mask = tensor([1, 0, 1, 1, 0, 0, 1, 0], { shape: [2, 4], dtype: 'float64' }).keep()
  const mae2 = (lossType: 'mse' | 'cosine' | 'smooth_l1') => (x: Tensor) =>
    new MAELoss({ patchSize: 2, lossType }).forward(x, images(), mask)
  test.each<[string, (x: Tensor) => Tensor]>([
    ['MAE, mse', mae2('mse')],
    ['MAE, cosine', mae2('cosine')],
    ['MAE, smooth L1', mae2('smooth_l1')],
    ['MAE of normalised patches', (x) => mae(x, other(), mask, { normPixLoss: true })],
    ['SimMIM', (x) => simMimLoss(x, other(), mask)],
    ['data2vec', (x) => data2vecLoss(x, other(), mask)],
    ['NEPA', (x) => nextEmbeddingLoss(other(), x)],
  ])('%s', async (_, loss) => {
    await expectGradients(loss, [point(random, 2, 4, 12)])
  })
})
