import { describe, expect, test } from 'vitest'
import {
  mocoV3Loss,
  MoCoLoss,
  nearestNeighbour,
  NNCLRLoss,
  NTXEntLoss,
  PIRLLoss,
  RowQueue,
} from '../../src/losses/index.js'
import { memory, noGrad, scope, tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { integer, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const list = async (values: Tensor): Promise<number[]> => Array.from((await values.data()) as Float64Array, Number)

describe.each(['fifo', 'ring'] as const)('a queue in %s order', (order) => {
  test('holds the newest rows after any batches, and goes on from a saved state', async () => {
    const random = randomFrom(51)
    for (let round = 0; round < 8; round += 1) {
      const capacity = 1 + integer(random, 6)
      let queue = new RowQueue(capacity, { order })
      const appended: number[] = []
      const places = Array.from<number>({ length: capacity })
      for (let batch = 0; batch < 6; batch += 1) {
        const size = 1 + integer(random, 8)
        const rows = Array.from({ length: size }, (_, i) => 100 * round + 10 * batch + i)
        if (size >= capacity) rows.slice(-capacity).forEach((row, i) => (places[i] = row))
        else rows.forEach((row, i) => (places[(appended.length + i) % capacity] = row))
        // A batch that fills the queue begins it anew.
        if (size >= capacity) appended.length = 0
        appended.push(...(size >= capacity ? rows.slice(-capacity) : rows))
        const found = await list(queue.append(tensor(rows).unsqueeze(1)))
        const expected = order === 'fifo' ? appended.slice(-capacity) : places.filter((row) => row !== undefined)
        expect(found).toEqual(expected)
        const resumed = new RowQueue(capacity, { order })
        resumed.loadStateDict(queue.stateDict())
        queue = resumed
      }
    }
  })

  test('keeps a constant number of buffers', () => {
    const queue = new RowQueue(5, { order })
    scope(() => void queue.append(zeros([3, 2])))
    const before = memory().liveBuffers
    for (let batch = 0; batch < 10; batch += 1) scope(() => void queue.append(zeros([3, 2])))
    expect(memory().liveBuffers).toBe(before)
  })
})

const unit = (row: number[]): number[] => row.map((x) => x / Math.hypot(...row))
const dot = (a: number[], b: number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

function slowNce(query: number[][], key: number[][], negatives: number[][], temperature: number): number {
  const losses = query.map((row, i) => {
    const logits = [dot(unit(row), unit(key[i]!)), ...negatives.map((other) => dot(unit(row), unit(other)))].map(
      (x) => x / temperature,
    )
    return Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0)) - logits[0]!
  })
  return losses.reduce((a, b) => a + b, 0) / losses.length
}

test('MoCo and PIRL find the key among the queue, which has the batch in it already; in plain loops over calls', async () => {
  const random = randomFrom(52)
  const [n, dim] = [3, 4]
  const [moco, pirl] = [
    new MoCoLoss({ queueLength: 6, temperature: 0.3 }),
    new PIRLLoss({ queueLength: 6, temperature: 0.3, lambda: 0.7 }),
  ]
  const kept: number[][] = []
  for (let call = 0; call < 2; call += 1) {
    const [a, b] = [normals(random, n * dim), normals(random, n * dim)]
    const [query, key] = [rowsOf(a, dim), rowsOf(b, dim)]
    kept.push(...key)
    const both = [matrix(a, [n, dim]), matrix(b, [n, dim])] as const
    const first = slowNce(query, key, kept, 0.3)
    expect(await moco.forward(...both).item()).toBeCloseTo(first, 4)
    expect(await pirl.forward(...both).item()).toBeCloseTo(0.7 * first + 0.3 * slowNce(key, key, kept, 0.3), 4)
  }
  const resumed = new PIRLLoss({ queueLength: 6, temperature: 0.3, lambda: 0.7 })
  resumed.loadStateDict(pirl.stateDict())
  const pair = [matrix(normals(random, n * dim), [n, dim]), matrix(normals(random, n * dim), [n, dim])] as const
  expect(await resumed.forward(...pair).item()).toBe(await pirl.forward(...pair).item())
})

test('MoCo v3 is InfoNCE with the other rows of the batch', async () => {
  const random = randomFrom(53)
  const [a, b] = [normals(random, 12), normals(random, 12)]
  const [query, key] = [rowsOf(a, 4), rowsOf(b, 4)]
  const losses = query.map((row, i) =>
    slowNce(
      [row],
      [key[i]!],
      key.filter((_, j) => j !== i),
      0.2,
    ),
  )
  const found = await mocoV3Loss(matrix(a, [3, 4]), matrix(b, [3, 4])).item()
  expect(found).toBeCloseTo(losses.reduce((x, y) => x + y, 0) / 3, 4)
})

test('NNCLR takes the nearest row of the support; the other view while there is only one', async () => {
  const support = tensor([
    [1, 0],
    [0, 5],
    [-2, -2],
  ])
  expect(
    await list(
      nearestNeighbour(
        tensor([
          [3, 1],
          [-1, -1.1],
        ]),
        support,
      ),
    ),
  ).toEqual([1, 0, -2, -2])
  const loss = new NNCLRLoss({ queueLength: 4, temperature: 0.2 })
  const [z1, z2, p1, p2] = [[[1, 2]], [[2, 1]], [[1, 1]], [[0, 1]]].map((rows) => tensor(rows)) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ]
  const nce = new NTXEntLoss({ temperature: 0.2 })
  const expected = (await nce.forward(p1, z2).item()) + (await nce.forward(p2, z1).item())
  expect(await loss.forward(z1, z2, p1, p2).item()).toBeCloseTo(expected / 2, 6)
})

describe('gradients are those of finite differences', () => {
  const random = randomFrom(54)
  const pair = [point(random, 3, 4), point(random, 3, 4)]
  test('MoCo v3', async () => {
    await expectGradients((a, b) => mocoV3Loss(a, b, { temperature: 0.5 }), pair)
  })
  test('MoCo, of queries: keys carry none', async () => {
    const keys = tensor(Float64Array.from(pair[1]!.values), { shape: [3, 4] }).keep()
    await expectGradients((a) => new MoCoLoss({ queueLength: 3, temperature: 0.5 }).forward(a, keys), pair.slice(0, 1))
    const key = noGrad(() => keys.clone())
    key.requiresGrad = true
    new MoCoLoss({ queueLength: 3 }).forward(keys.clone().add(1), key)
    expect(key.grad).toBeNull()
  })
  test('NNCLR, of predictions', async () => {
    const views = pair.map(({ values }) => tensor(Float64Array.from(values), { shape: [3, 4] }).keep()) as [
      Tensor,
      Tensor,
    ]
    await expectGradients(
      (p1, p2) => new NNCLRLoss({ queueLength: 3, temperature: 0.5 }).forward(...views, p1, p2),
      pair,
    )
  })
  test('PIRL, of transformed images', async () => {
    const image = tensor(Float64Array.from(pair[1]!.values), { shape: [3, 4] }).keep()
    await expectGradients((a) => new PIRLLoss({ queueLength: 3, temperature: 0.5 }).forward(a, image), pair.slice(0, 1))
  })
})

test('bad input is refused with its shapes', () => {
  const [a, b] = [zeros([3, 4]), zeros([1, 4])]
  expect(() => new MoCoLoss().forward(a, b)).toThrow(/MoCoLoss.*\[3, 4\] and \[1, 4\]/)
  expect(() => new PIRLLoss().forward(a, b)).toThrow(/PIRLLoss.*\[3, 4\] and \[1, 4\]/)
  expect(() => mocoV3Loss(a, b)).toThrow(/\[3, 4\] and \[1, 4\]/)
  expect(() => new NNCLRLoss().forward(a, a, a, b)).toThrow(/predictions.*\[3, 4\] and \[1, 4\]/)
  expect(() => new NNCLRLoss().forward(a, a, b, b)).toThrow(/projections and predictions/)
  expect(() => new RowQueue(0)).toThrow(/maxLength/)
})
