/** Random orders: the published numbers of the generator, a stable order for a seed, even spread. */
import { expect, test } from 'vitest'
import { Philox, permutation, philox } from '../../src/data/random-order.js'
import { RandomSampler, SequentialSampler } from '../../src/data/samplers.js'

test('known answers of the Random123 suite', () => {
  const all = 0xffff_ffff
  expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8])
  expect(philox([all, all, all, all], [all, all])).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd])
  expect(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toEqual([
    0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
  ])
})

test('the order of a seed never changes', () => {
  expect([...permutation(12, 0, 0)]).toEqual([6, 2, 0, 5, 4, 11, 3, 8, 9, 7, 1, 10])
  expect([...permutation(12, 0, 1)]).toEqual([9, 10, 4, 3, 7, 0, 2, 11, 8, 5, 1, 6])
  expect([...permutation(12, 2 ** 40 + 1, 3)]).toMatchInlineSnapshot(`
    [
      7,
      4,
      10,
      8,
      11,
      5,
      1,
      2,
      3,
      0,
      9,
      6,
    ]
  `)
})

test('an order holds every index once, and is one of its own for each seed and epoch', () => {
  const orders = [permutation(1000, 1, 0), permutation(1000, 1, 1), permutation(1000, 2, 0)]
  const sorted = Array.from({ length: 1000 }, (_, i) => i)
  for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual(sorted)
  expect(new Set(orders.map((order) => order.join())).size).toBe(3)
  expect(permutation(0, 1)).toHaveLength(0)
})

test('all orders are equally frequent', () => {
  const counts = new Map<string, number>()
  for (let epoch = 0; epoch < 24_000; epoch++) {
    const order = permutation(4, 5, epoch).join()
    counts.set(order, (counts.get(order) ?? 0) + 1)
  }
  expect(counts.size).toBe(24)
  // Expected 1,000 each, standard deviation 31.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150)
})

test('numbers below a limit are in range and even', () => {
  const random = Philox.of(3)
  const counts = Array<number>(7).fill(0)
  for (let i = 0; i < 70_000; i++) counts[random.below(7)]!++
  // Expected 10,000 each, standard deviation 93.
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(450)
})

test('samplers', () => {
  expect([...new SequentialSampler(4).indices()]).toEqual([0, 1, 2, 3])
  const sampler = new RandomSampler(12, 0)
  expect(sampler.length).toBe(12)
  expect([...sampler.indices(1)]).toEqual([...permutation(12, 0, 1)])
  expect(() => new RandomSampler(4, -1)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
