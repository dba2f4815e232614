import { describe, expect, test } from 'vitest'
import { OnlineQueue } from '../../src/train/queue.js'
import { manualSeed, memory, randn, scope, tensor, type Tensor } from '../../src/tensor/index.js'

const batch = (...rows: number[]): Tensor => tensor(rows.flatMap((row) => [row, -row])).reshape([rows.length, 2])
const contents = async (queue: OnlineQueue, count = Infinity): Promise<number[]> => {
  const values = Array.from((await queue.newest(count).data()) as Float32Array)
  return values.filter((_, i) => i % 2 === 0)
}

describe('a queue', () => {
  test('keeps the newest rows, oldest first, across its end', async () => {
    const queue = new OnlineQueue('embedding', 5)
    queue.append(batch(1, 2, 3))
    expect(await contents(queue)).toEqual([1, 2, 3])
    queue.append(batch(4, 5, 6, 7))
    expect(queue.length).toBe(5)
    expect(await contents(queue)).toEqual([3, 4, 5, 6, 7])
    expect(await contents(queue, 2)).toEqual([6, 7])
  })

  test('of a batch longer than itself keeps the last rows', async () => {
    const queue = new OnlineQueue('embedding', 3)
    queue.append(batch(1, 2, 3, 4, 5))
    expect(await contents(queue)).toEqual([3, 4, 5])
    queue.append(batch(6))
    expect(await contents(queue)).toEqual([4, 5, 6])
  })

  test('grows without losing a row, and never shrinks', async () => {
    const queue = new OnlineQueue('embedding', 3)
    queue.append(batch(1, 2, 3, 4))
    queue.grow(5)
    queue.append(batch(5, 6))
    expect(await contents(queue)).toEqual([2, 3, 4, 5, 6])
    queue.grow(2)
    expect(queue.capacity).toBe(5)
  })

  test('holds class numbers as well as vectors', async () => {
    const queue = new OnlineQueue('label', 3)
    for (const label of [1n, 2n, 3n, 4n]) queue.append(tensor(BigInt64Array.of(label)))
    expect(await queue.newest(3).data()).toEqual(BigInt64Array.of(2n, 3n, 4n))
  })

  test('goes on from its state with the same rows, also where it is longer there', async () => {
    for (const capacity of [4, 9]) {
      const queue = new OnlineQueue('embedding', 4)
      queue.append(batch(1, 2, 3, 4, 5, 6))
      const restored = new OnlineQueue('embedding', capacity)
      restored.loadState(queue.state())
      queue.append(batch(7))
      restored.append(batch(7))
      expect(await contents(restored, 4)).toEqual(await contents(queue))
    }
  })

  test('remembers no graph of what it was given', () => {
    const source = tensor([[1, 2]]).mul(1)
    const leaf = tensor([[1, 2]], { requiresGrad: true })
    const queue = new OnlineQueue('embedding', 3)
    queue.append(leaf.mul(2).add(source))
    expect(queue.newest(1).requiresGrad).toBe(false)
  })

  test('survives the scope of a step and holds a constant amount of memory', () => {
    manualSeed(0)
    const queue = new OnlineQueue('embedding', 100)
    const step = (): void => scope(() => queue.append(randn([7, 16])))
    step()
    const before = memory()
    for (let i = 0; i < 50; i++) step()
    expect(memory()).toMatchObject({ liveBytes: before.liveBytes, liveBuffers: before.liveBuffers })
    expect(queue.length).toBe(100)
  })

  test('refuses rows of another shape, and a length below 1', () => {
    const queue = new OnlineQueue('embedding', 3)
    queue.append(batch(1))
    expect(() => queue.append(tensor([[1, 2, 3]]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => new OnlineQueue('embedding', 0)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})
