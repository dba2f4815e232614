import { describe, expect, test } from 'vitest'
import { CLIPLoss, infoNce, InfoNCELoss, NTXEntLoss } from '../../src/losses/index.js'
import { eye, tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { integer, labels, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const unit = (row: number[]): number[] => row.map((x) => x / Math.max(Math.hypot(...row), 1e-12))
const dot = (a: number[], b: number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

/** Mean over anchors of −ln of the softmax at the target, over the candidates that are not masked. */
function slow(
  anchors: number[][],
  candidates: number[][],
  targets: number[],
  scale: number,
  masked = (_a: number, _c: number) => false,
): number {
  const losses = anchors.map((anchor, i) => {
    const logits = candidates.map((candidate, j) =>
      masked(i, j) ? -Infinity : dot(unit(anchor), unit(candidate)) / scale,
    )
    return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[targets[i]!]!
  })
  return losses.reduce((a, b) => a + b, 0) / losses.length
}

test('InfoNCE is the cross-entropy of cosines, in plain loops, masks included', async () => {
  const random = randomFrom(3)
  for (let round = 0; round < 15; round += 1) {
    const [anchors, candidates, dim] = [1 + integer(random, 6), 2 + integer(random, 6), 1 + integer(random, 5)]
    const [a, c] = [normals(random, anchors * dim), normals(random, candidates * dim)]
    const targets = Array.from({ length: anchors }, () => integer(random, candidates))
    const mask = Array.from(
      { length: anchors * candidates },
      (_, i) => i % candidates !== targets[Math.floor(i / candidates)] && random() < 0.3,
    )
    const temperature = 0.1 + random()
    const found = new InfoNCELoss({ temperature }).forward(
      matrix(a, [anchors, dim]),
      matrix(c, [candidates, dim]),
      labels(targets),
      {
        mask: tensor(mask.map(Number), { shape: [anchors, candidates], dtype: 'uint8' }),
      },
    )
    const expected = slow(rowsOf(a, dim), rowsOf(c, dim), targets, temperature, (i, j) => mask[i * candidates + j]!)
    expect(await found.item()).toBeCloseTo(expected, 4)
  }
})

test('NT-Xent: each of 2N finds its partner among all others, in plain loops', async () => {
  const random = randomFrom(4)
  for (const [n, dim] of [
    [1, 3],
    [2, 1],
    [5, 4],
    [8, 2],
  ] as const) {
    const [a, b] = [normals(random, n * dim), normals(random, n * dim)]
    const all = [...rowsOf(a, dim), ...rowsOf(b, dim)]
    const partners = all.map((_, i) => (i + n) % (2 * n))
    const expected = slow(all, all, partners, 0.5, (i, j) => i === j)
    expect(await new NTXEntLoss().forward(matrix(a, [n, dim]), matrix(b, [n, dim])).item()).toBeCloseTo(expected, 4)
  }
})

test('CLIP: the mean of both directions; logitScale divides in the place of the temperature', async () => {
  const random = randomFrom(5)
  const [n, dim] = [6, 3]
  const [a, b] = [normals(random, n * dim), normals(random, n * dim)]
  const own = Array.from({ length: n }, (_, i) => i)
  const both = (scale: number) =>
    (slow(rowsOf(a, dim), rowsOf(b, dim), own, scale) + slow(rowsOf(b, dim), rowsOf(a, dim), own, scale)) / 2
  const [first, second] = [matrix(a, [n, dim]), matrix(b, [n, dim])]
  expect(await new CLIPLoss({ temperature: 0.2 }).forward(first, second).item()).toBeCloseTo(both(0.2), 4)
  expect(await new CLIPLoss().forward(first, second, tensor(0.6)).item()).toBeCloseTo(both(0.6), 4)
})

test('aligned views have a lower loss than others; a batch of one has nothing to be told from', async () => {
  const rows = eye(6)
  const loss = new NTXEntLoss({ temperature: 0.1 })
  const aligned = await loss.forward(rows, rows).item()
  expect(aligned).toBeLessThan(await loss.forward(rows, rows.roll(1, 0)).item())
  expect(await loss.forward(zeros([1, 3]).add(1), zeros([1, 3]).add(2)).item()).toBeCloseTo(0, 6)
})

test('gradients are those of finite differences', async () => {
  const random = randomFrom(6)
  const pair = [point(random, 3, 4), point(random, 3, 4)]
  await expectGradients((a, b) => new NTXEntLoss({ temperature: 0.3 }).forward(a, b), pair)
  await expectGradients((a, b) => new CLIPLoss({ temperature: 0.4 }).forward(a, b), pair)
  const scale = { values: [0.7], shape: [] }
  await expectGradients((a, b, s) => new CLIPLoss().forward(a, b, s), [...pair, scale])
  const mask = tensor(
    [
      [0, 1, 0, 0],
      [0, 0, 0, 1],
      [1, 0, 0, 0],
    ],
    { dtype: 'uint8' },
  )
    .to('bool')
    .keep()
  const targets = labels([0, 1, 3]).keep()
  await expectGradients(
    (a, c) => infoNce(a, c, targets, { temperature: 0.5, mask }),
    [point(random, 3, 2), point(random, 4, 2)],
  )
})

describe('bad input', () => {
  test('is refused with the shapes', () => {
    const [three, four] = [zeros([3, 2]), zeros([4, 2])]
    expect(() => new NTXEntLoss().forward(three, four)).toThrow(/NTXEntLoss.*\[3, 2\] and \[4, 2\]/)
    expect(() => new NTXEntLoss().forward(zeros([0, 2]), zeros([0, 2]))).toThrow(/\[0, 2\]/)
    expect(() => new CLIPLoss().forward(three, zeros([3, 5]))).toThrow(/CLIPLoss.*\[3, 2\] and \[3, 5\]/)
    expect(() => infoNce(three, four, labels([0, 1]))).toThrow(/anchors \[3, 2\], candidates \[4, 2\], targets \[2\]/)
    expect(() => infoNce(three, four, labels([0, 1, 2]), { mask: zeros([3, 3]) })).toThrow(/mask \[3, 3\]/)
    expect(() => infoNce(zeros([3]), four, labels([0]))).toThrow(/expected \[samples, dim\], got \[3\]/)
  })

  test('NaN stays NaN', async () => {
    expect(
      await new NTXEntLoss()
        .forward(
          tensor([
            [NaN, 1],
            [1, 2],
          ]),
          tensor([
            [1, 0],
            [0, 1],
          ]),
        )
        .item(),
    ).toBeNaN()
  })
})
