/** Attention against plain loops over random shapes, its masks, its dropout, and what it answers to bad input. */
import { describe, expect, test } from 'vitest'
import {
  Generator,
  noGrad,
  rand,
  randn,
  scaledDotProductAttention,
  tensor,
  zeros,
  type Tensor,
} from '../../src/tensor/index.js'

/** softmax(scale · q · kᵀ + bias) · v of matrices, −∞ where a query does not see a key; zeros where it sees none. */
function plain(q: number[][], k: number[][], v: number[][], scale: number, bias: (i: number, j: number) => number) {
  return q.map((query, i) => {
    const scores = k.map((key, j) => key.reduce((sum, x, e) => sum + x * (query[e] ?? 0), 0) * scale + bias(i, j))
    const weights = scores.map((score) => Math.exp(score))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return (v[0] ?? []).map((_, e) =>
      total === 0 ? 0 : weights.reduce((sum, weight, j) => sum + weight * (v[j]?.[e] ?? 0), 0) / total,
    )
  })
}

async function rows(matrix: Tensor): Promise<number[][]> {
  const [count = 0, width = 0] = matrix.shape
  const values = [...(await matrix.data())].map(Number)
  return Array.from({ length: count }, (_, i) => values.slice(i * width, (i + 1) * width))
}

async function largestDifference(actual: Tensor, expected: number[][]): Promise<number> {
  const values = [...(await actual.data())].map(Number)
  return Math.max(0, ...expected.flat().map((value, index) => Math.abs(value - (values[index] ?? NaN))))
}

describe('scaledDotProductAttention', () => {
  test('equals plain loops on random shapes, with each kind of mask', async () => {
    const random = new Generator(5)
    for (let round = 0; round < 20; round += 1) {
      const [queries, keys, width, values] = [9, 9, 6, 5].map((top) => 1 + random.integer(top)) as [
        number,
        number,
        number,
        number,
      ]
      const [q, k, v] = [randn([queries, width]), randn([keys, width]), randn([keys, values])]
      const bias = randn([queries, keys])
      const seen = rand([queries, keys]).gt(0.4)
      const [biases, sight] = [await rows(bias), await rows(seen)]
      const matrices = [await rows(q), await rows(k), await rows(v)] as const
      const root = 1 / Math.sqrt(width)
      const check = async (options: object, scale: number, extra: (i: number, j: number) => number) =>
        expect(
          await largestDifference(scaledDotProductAttention(q, k, v, options), plain(...matrices, scale, extra)),
        ).toBeLessThan(2e-5)
      await check({}, root, () => 0)
      await check({ scale: 0.3 }, 0.3, () => 0)
      await check({ isCausal: true }, root, (i, j) => (j <= i ? 0 : -Infinity))
      await check({ attnMask: bias }, root, (i, j) => biases[i]?.[j] ?? NaN)
      await check({ attnMask: seen }, root, (i, j) => (sight[i]?.[j] ? 0 : -Infinity))
      await check({ attnMask: seen, isCausal: true }, root, (i, j) => (sight[i]?.[j] && j <= i ? 0 : -Infinity))
    }
  })

  test('a query that sees no key gets zeros, also by a float mask of −∞, and finite gradients', async () => {
    const hidden = tensor([
      [0, -Infinity],
      [-Infinity, -Infinity],
    ])
    for (const attnMask of [hidden, hidden.eq(0)]) {
      const [q, k, v] = [
        randn([2, 3], { requiresGrad: true }),
        randn([2, 3], { requiresGrad: true }),
        tensor([
          [1, 2],
          [3, 4],
        ]),
      ]
      const out = scaledDotProductAttention(q, k, v, { attnMask })
      expect([...(await out.data())]).toEqual([1, 2, 0, 0])
      out.sum().backward()
      for (const leaf of [q, k])
        expect([...(await (leaf.grad as Tensor).data())].every((g) => Number.isFinite(Number(g)))).toBe(true)
    }
  })

  test('dropout sets the stated share of weights to 0, keeps the mean, and follows its generator', async () => {
    const weights = (generator: Generator, dropoutP: number) =>
      noGrad(() => scaledDotProductAttention(zeros([300, 4]), zeros([100, 4]), eye(100), { dropoutP, generator }))
    const [first, again] = [weights(new Generator(3), 0.3), weights(new Generator(3), 0.3)]
    const values = [...(await first.data())].map(Number)
    expect(values.filter((value) => value === 0).length / values.length).toBeCloseTo(0.3, 1)
    expect(values.reduce((sum, value) => sum + value, 0) / 300).toBeCloseTo(1, 1)
    expect(new Set(values.map((value) => value.toFixed(5)))).toEqual(new Set(['0.00000', (0.01 / 0.7).toFixed(5)]))
    expect([...(await again.data())]).toEqual([...(await first.data())])
    const generator = new Generator(3)
    weights(generator, 0.3)
    expect([...(await weights(generator, 0.3).data())]).not.toEqual([...(await first.data())])
    expect([...(await weights(generator, 0).data())].every((value) => Math.abs(Number(value) - 0.01) < 1e-7)).toBe(true)
  })

  test('errors name the shapes and values that do not fit', () => {
    const q = zeros([2, 5, 4])
    expect(() => scaledDotProductAttention(q, zeros([2, 7, 3]), zeros([2, 7, 4]))).toThrow(/\[2, 5, 4\].*\[2, 7, 3\]/)
    expect(() => scaledDotProductAttention(q, q, q, { attnMask: zeros([5, 7]) })).toThrow(/\[5, 7\].*\[2, 5, 5\]/)
    expect(() => scaledDotProductAttention(q, q, q, { dropoutP: 1.5 })).toThrow(/1\.5/)
    expect(() => scaledDotProductAttention(q, q, q, { attnMask: zeros([5, 5], { dtype: 'int64' }) })).toThrow(/int64/)
  })
})

function eye(n: number): Tensor {
  return tensor(
    Float32Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)),
    { shape: [n, n] },
  )
}
