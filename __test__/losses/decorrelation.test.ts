import { describe, expect, test } from 'vitest'
import { BarlowTwinsLoss, localVicReg, offDiagonal, TiCoLoss, VCRegLoss, VICRegLoss } from '../../src/losses/index.js'
import { arange, eye, noGrad, tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { integer, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const columnsOf = (rows: number[][]): number[][] => rows[0]!.map((_, j) => rows.map((row) => row[j]!))
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length
const centred = (values: number[]): number[] => values.map((value) => value - mean(values))

function slowVarianceCovariance(rows: number[][], epsilon: number): { variance: number; covariance: number } {
  const columns = columnsOf(rows).map(centred)
  const product = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0) / (rows.length - 1)
  const variance = mean(columns.map((column) => Math.max(0, 1 - Math.sqrt(product(column, column) + epsilon)))) / 2
  let covariance = 0
  for (const [i, a] of columns.entries())
    for (const [j, b] of columns.entries()) if (i !== j) covariance += product(a, b) ** 2
  return { variance, covariance: covariance / columns.length }
}

test('VICReg and its regularisation are those of plain loops', async () => {
  const random = randomFrom(11)
  for (let round = 0; round < 10; round += 1) {
    const [n, dim] = [2 + integer(random, 8), 1 + integer(random, 5)]
    const [a, b] = [0, 1].map(() => normals(random, n * dim).map((x) => Math.fround(0.7 * x))) as [number[], number[]]
    const [simCoeff, stdCoeff, covCoeff, epsilon] = [3, 5, 2, 1e-3]
    const [x, y] = [a, b].map((values) => slowVarianceCovariance(rowsOf(values, dim), epsilon)) as [
      ReturnType<typeof slowVarianceCovariance>,
      ReturnType<typeof slowVarianceCovariance>,
    ]
    const regular = (one: typeof x) => stdCoeff * one.variance + covCoeff * one.covariance
    const options = { stdCoeff, covCoeff, epsilon }
    expect(await new VCRegLoss(options).forward(matrix(a, [n, dim])).item()).toBeCloseTo(regular(x), 4)
    const invariance = mean(a.map((value, i) => (value - b[i]!) ** 2))
    const loss = new VICRegLoss({ simCoeff, ...options }).forward(matrix(a, [n, dim]), matrix(b, [n, dim]))
    expect(await loss.item()).toBeCloseTo(simCoeff * invariance + regular(x) + regular(y), 4)
  }
})

test('Barlow Twins is that of plain loops', async () => {
  const random = randomFrom(12)
  for (let round = 0; round < 10; round += 1) {
    const [n, dim] = [2 + integer(random, 8), 1 + integer(random, 5)]
    const [a, b] = [normals(random, n * dim), normals(random, n * dim)]
    const standard = (values: number[]) => {
      const c = centred(values)
      const std = Math.sqrt(c.reduce((sum, x) => sum + x * x, 0) / (n - 1)) + 1e-5
      return c.map((x) => x / std)
    }
    const [first, second] = [a, b].map((values) => columnsOf(rowsOf(values, dim)).map(standard)) as [
      number[][],
      number[][],
    ]
    let expected = 0
    for (const [i, x] of first.entries()) {
      for (const [j, y] of second.entries()) {
        const correlation = x.reduce((sum, value, k) => sum + value * y[k]!, 0) / n
        expected += i === j ? (correlation - 1) ** 2 : 0.02 * correlation ** 2
      }
    }
    const found = new BarlowTwinsLoss({ lambd: 0.02 }).forward(matrix(a, [n, dim]), matrix(b, [n, dim]))
    expect(await found.item()).toBeCloseTo(expected, 4)
  }
})

test('TiCo keeps a running covariance over calls, which is in its state', async () => {
  const random = randomFrom(13)
  const [n, dim] = [4, 3]
  const loss = new TiCoLoss(dim, { beta: 0.6, rho: 2 })
  let covariance = Array.from({ length: dim }, () => [0, 0, 0])
  for (let call = 0; call < 3; call += 1) {
    const views = [0, 1].map(() => rowsOf(normals(random, n * dim), dim)) as [number[][], number[][]]
    const [a, b] = views.map((rows) => rows.map((row) => row.map((x) => x / Math.hypot(...row)))) as [
      number[][],
      number[][],
    ]
    const columns = columnsOf([...a, ...b]).map(centred)
    covariance = covariance.map((row, i) =>
      row.map(
        (old, j) => 0.6 * old + (0.4 * columns[i]!.reduce((sum, x, k) => sum + x * columns[j]![k]!, 0)) / (2 * n - 1),
      ),
    )
    const cosine = mean(a.map((row, i) => row.reduce((sum, x, k) => sum + x * b[i]![k]!, 0)))
    const spread = mean(
      a.map((row) => row.reduce((sum, x, i) => sum + x * row.reduce((s, y, j) => s + covariance[i]![j]! * y, 0), 0)),
    )
    const found = loss.forward(...(views.map((rows) => matrix(rows.flat(), [n, dim])) as [Tensor, Tensor]))
    expect(await found.item()).toBeCloseTo(2 - 2 * cosine + 2 * spread, 4)
  }
  const other = new TiCoLoss(dim, { beta: 0.6, rho: 2 })
  other.loadStateDict(loss.stateDict())
  const pair = [matrix(normals(random, n * dim), [n, dim]), matrix(normals(random, n * dim), [n, dim])] as const
  expect(await other.forward(...pair).item()).toBe(await loss.forward(...pair).item())
})

test('the local term of VICRegL pairs each patch with its nearest by cosine', async () => {
  const random = randomFrom(14)
  const [batch, patches, dim] = [2, 3, 4]
  const [a, b] = [normals(random, 24), normals(random, 24)]
  const [first, second] = [a, b].map((values) => rowsOf(values, dim)) as [number[][], number[][]]
  const cosine = (x: number[], y: number[]) =>
    x.reduce((sum, v, i) => sum + v * y[i]!, 0) / (Math.hypot(...x) * Math.hypot(...y))
  const matched = first.map((row, i) => {
    const own = second.slice(Math.floor(i / patches) * patches, (Math.floor(i / patches) + 1) * patches)
    return own.toSorted((x, y) => cosine(row, y) - cosine(row, x))[0]!
  })
  const expected = new VICRegLoss().forward(matrix(a, [6, dim]), matrix(matched.flat(), [6, dim]))
  const found = localVicReg(matrix(a, [batch, patches, dim]), matrix(b, [batch, patches, dim]))
  expect(await found.item()).toBeCloseTo(await expected.item(), 5)
})

describe('gradients are those of finite differences', () => {
  const random = randomFrom(15)
  const pair = [point(random, 4, 3), point(random, 4, 3)]
  // A variance term of 0 has a kink: standard deviations stay below 1 here.
  const small = pair.map(({ values, shape }) => ({ values: values.map((x) => 0.3 * x), shape }))

  test.each<[string, (a: Tensor, b: Tensor) => Tensor, typeof pair]>([
    ['VCReg', (a) => new VCRegLoss().forward(a), small.slice(0, 1)],
    ['VICReg', (a, b) => new VICRegLoss().forward(a, b), small],
    ['Barlow Twins', (a, b) => new BarlowTwinsLoss().forward(a, b), pair],
    [
      'TiCo with a covariance that stays',
      (a, b) => {
        const loss = new TiCoLoss(3, { beta: 1, rho: 2 })
        noGrad(() => loss.covariance.copy_(eye(3).add(0.5)))
        return loss.forward(a, b)
      },
      pair,
    ],
    ['local VICReg', (a, b) => localVicReg(a.reshape([2, 2, 3]), b.reshape([2, 2, 3])), small],
  ])('%s', async (_, loss, inputs) => {
    await expectGradients(loss, inputs)
  })
})

test('off-diagonal elements, row by row; of one element and of none nothing', async () => {
  const values = async (n: number) =>
    Array.from((await offDiagonal(arange(n * n).reshape([n, n])).data()) as BigInt64Array, Number)
  expect(await values(3)).toEqual([1, 2, 3, 5, 6, 7])
  expect(await values(1)).toEqual([])
  expect(await values(0)).toEqual([])
  expect(() => offDiagonal(zeros([2, 3]))).toThrow(/\[2, 3\] is not square/)
})

describe.each([
  ['VICRegLoss', (a: Tensor, b: Tensor) => new VICRegLoss().forward(a, b)],
  ['BarlowTwinsLoss', (a: Tensor, b: Tensor) => new BarlowTwinsLoss().forward(a, b)],
] as const)('%s', (name, loss) => {
  test('needs two samples, and says what came', () => {
    expect(() => loss(zeros([1, 4]), zeros([1, 4]))).toThrow(`${name}: expected at least 2 samples, got [1, 4]`)
    expect(() => loss(zeros([3, 4]), zeros([1, 4]))).toThrow(/\[3, 4\] and \[1, 4\]/)
    expect(() => loss(zeros([3]), zeros([3]))).toThrow(/\[3\]/)
  })

  test('NaN stays NaN; columns that are all alike are safe', async () => {
    const rows = tensor([
      [1, NaN],
      [0, 2],
      [3, 1],
    ])
    expect(
      await loss(
        rows,
        tensor([
          [1, 0],
          [0, 2],
          [3, 1],
        ]),
      ).item(),
    ).toBeNaN()
    expect(Number.isFinite(await loss(zeros([3, 2]).add(5), zeros([3, 2]).add(5)).item())).toBe(true)
  })
})

test('TiCo of equal embeddings: nothing about the mean, the whole penalty of the paper without it', async () => {
  const same = tensor([3, 4, 0], { shape: [1, 3] }).expand([6, 3])
  // cos = 1 leaves no invariance; C = (1 − β)·zzᵀ of a unit vector z, so that zᵀCz = 1 − β.
  expect(await new TiCoLoss(3, { beta: 0.9, rho: 20 }).forward(same, same).item()).toBeCloseTo(0, 5)
  const paper = new TiCoLoss(3, { beta: 0.9, rho: 20, centered: false })
  expect(await paper.forward(same, same).item()).toBeCloseTo(2, 5)
})

test('VCReg and TiCo refuse what does not fit', () => {
  expect(() => new VCRegLoss().forward(zeros([1, 4]))).toThrow(/\[1, 4\]/)
  expect(() => new TiCoLoss(3).forward(zeros([2, 4]), zeros([2, 4]))).toThrow(/made for 3 dimensions, got \[2, 4\]/)
})
