import { describe, expect, test } from 'vitest'
import {
  retrievalAveragePrecision,
  RetrievalHitRate,
  retrievalHitRate,
  RetrievalMAP,
  RetrievalMRR,
  RetrievalPrecision,
  retrievalPrecision,
  RetrievalRecall,
  retrievalRecall,
  retrievalReciprocalRank,
} from '../../src/metrics/index.js'
import { tensor, zeros } from '../../src/tensor/index.js'
import { integer, labels, matrix, normals, randomFrom } from '../plain-arrays.js'

/** Items by score, and how many relevant ones with a positive score are among the first k, in plain loops. */
function slow(scores: number[], relevant: number[], topK: number | undefined): Record<string, number> {
  const order = scores.map((_, i) => i).toSorted((a, b) => scores[b]! - scores[a]! || a - b)
  const k = topK ?? scores.length
  let [found, hit, first, sum] = [0, 0, 0, 0]
  for (const [place, item] of order.slice(0, k).entries()) {
    if (relevant[item] !== 1) continue
    hit = 1
    if (scores[item]! <= 0) continue
    found += 1
    if (found === 1) first = place + 1
    sum += found / (place + 1)
  }
  const all = relevant.filter((value) => value === 1).length
  return {
    precision: found / k,
    recall: all === 0 ? 0 : found / all,
    map: found === 0 ? 0 : sum / found,
    mrr: first === 0 ? 0 : 1 / first,
    hit,
  }
}

const metrics = {
  precision: [retrievalPrecision, RetrievalPrecision],
  recall: [retrievalRecall, RetrievalRecall],
  map: [retrievalAveragePrecision, RetrievalMAP],
  mrr: [retrievalReciprocalRank, RetrievalMRR],
  hit: [retrievalHitRate, RetrievalHitRate],
} as const

describe.each(Object.entries(metrics))('%s', (name, [one, Many]) => {
  test('of a query is that of plain loops', async () => {
    const random = randomFrom(31)
    for (let round = 0; round < 30; round += 1) {
      const items = 1 + integer(random, 15)
      const scores =
        round % 3 === 0 ? Array.from({ length: items }, () => integer(random, 4) - 1) : normals(random, items)
      const relevant = scores.map(() => integer(random, 2))
      const topK = [undefined, 1, 3, 40][round % 4]
      const found = await one(matrix(scores, [items]), labels(relevant), { topK })
      expect(found).toBeCloseTo(slow(scores, relevant, topK)[name]!, 12)
    }
  })

  test('over batches is the mean over queries, whose items may come apart', async () => {
    const random = randomFrom(32)
    const items = 40
    const scores = normals(random, items).map((x) => x + 1)
    const relevant = scores.map((_, i) => (i % 5 === 0 ? 1 : integer(random, 2)))
    const queries = scores.map((_, i) => (i * 7) % 5)
    const all = [matrix(scores, [items]), labels(relevant), labels(queries)] as const
    const part = (start: number, length: number) =>
      all.map((rows) => rows.narrow(0, start, length)) as [never, never, never]
    const metric = new Many({ topK: 3 })
    metric.update(...part(0, 17))
    const resumed = new Many({ topK: 3 })
    resumed.loadState(metric.state())
    resumed.update(...part(17, 23))
    const expected = [0, 1, 2, 3, 4].map((query) => {
      const own = queries.flatMap((q, i) => (q === query ? [i] : []))
      return slow(
        own.map((i) => scores[i]!),
        own.map((i) => relevant[i]!),
        3,
      )[name]!
    })
    expect(await resumed.compute()).toBeCloseTo(expected.reduce((a, b) => a + b, 0) / 5, 12)
  })

  test('a query without a relevant item counts as asked', async () => {
    const scored = [tensor([0.9, 0.8, 0.3, 0.2]), labels([1, 0, 0, 0]), labels([0, 0, 1, 1])] as const
    const act = async (emptyTargetAction: 'neg' | 'pos' | 'skip' | 'error') => {
      const metric = new Many({ emptyTargetAction })
      metric.update(...scored)
      return metric.compute()
    }
    const known = await one(tensor([0.9, 0.8]), labels([1, 0]))
    expect(await act('neg')).toBe(known / 2)
    expect(await act('pos')).toBe((known + 1) / 2)
    expect(await act('skip')).toBe(known)
    await expect(act('error')).rejects.toThrow(/query 1/)
  })
})

test('precision of a query with fewer than k items', async () => {
  const query = [tensor([0.9, 0.8]), labels([1, 0])] as const
  expect(await retrievalPrecision(...query, { topK: 4 })).toBe(1 / 4)
  expect(await retrievalPrecision(...query, { topK: 4, adaptiveK: true })).toBe(1 / 2)
})

test('known values of three items, the first and the last relevant', async () => {
  const query = [tensor([0.2, 0.3, 0.5]), labels([1, 0, 1])] as const
  expect(await retrievalAveragePrecision(...query)).toBeCloseTo((1 + 2 / 3) / 2, 12)
  expect(await retrievalReciprocalRank(...query)).toBe(1)
  expect(await retrievalRecall(...query, { topK: 2 })).toBe(0.5)
  expect(await retrievalHitRate(...query, { topK: 1 })).toBe(1)
})

test('ignored items are not there', async () => {
  const metric = new RetrievalMRR({ ignoreIndex: -1 })
  metric.update(tensor([0.9, 0.5, 0.4]), labels([-1, 0, 1]), labels([0, 0, 0]))
  expect(await metric.compute()).toBe(0.5)
})

test('bad input is refused', async () => {
  await expect(retrievalRecall(zeros([3]), labels([0, 1]))).rejects.toThrow(/\[3\].*\[2\]/)
  await expect(retrievalRecall(zeros([0]), labels([]))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  await expect(retrievalRecall(zeros([2]), labels([0, 2]))).rejects.toThrow(/0 or 1, got 2/)
  await expect(retrievalRecall(zeros([2]), labels([0, 1]), { topK: 0 })).rejects.toThrow(/topK/)
  expect(() => new RetrievalMAP().update(zeros([2]), labels([0, 1]), labels([0]))).toThrow(/\[2\], \[2\], \[1\]/)
  expect(() => new RetrievalMAP({ emptyTargetAction: 'none' as never })).toThrow(/emptyTargetAction/)
})
