/** Collator, fold_views and apply_masks against their definitions, element by element. */
import { expect, test } from 'vitest'
import { disposeBatch } from '../../src/data/collate.js'
import { Collator, applyMasks, foldViews } from '../../src/data/collator.js'
import { DataLoader } from '../../src/data/data-loader.js'
import { InMemoryDataset } from '../../src/data/in-memory.js'
import { MultiViewTransform } from '../../src/data/transform.js'
import { memory, scope, tensor } from '../../src/tensor/index.js'

const pixels = Uint8Array.from({ length: 4 * 4 }, (_, i) => i * 10)
const dataset = new InMemoryDataset({ pixels, width: 2, height: 2, channels: 1, labels: [1, 0, 1, 2] })
const plain = { steps: [] }
const flip = { steps: [{ type: 'random-horizontal-flip', p: 1 } as const] }

async function values(value: unknown): Promise<number[]> {
  return Array.from((await (value as { data(): Promise<ArrayLike<number>> }).data()) as ArrayLike<number>, Number)
}

test('views of an image stand together, what samples say is repeated, G tells which labels are equal', async () => {
  const before = memory().liveBytes
  const transform = new MultiViewTransform([plain, flip])
  const { collate } = new Collator({ gFrom: 'label' })
  for await (const batch of new DataLoader({ dataset, batchSize: 4, transform, collate })) {
    expect(batch.image?.shape).toEqual([8, 1, 2, 2])
    expect(batch.views).toBeUndefined()
    expect(await values(batch.index)).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
    const label = await values(batch.label)
    expect(label).toEqual([1, 1, 0, 0, 1, 1, 2, 2])
    expect(await values(batch['G'])).toEqual(label.flatMap((a) => label.map((b) => Number(a === b))))
    const bytes = (await values(batch.image)).map((value) => Math.round(value * 255))
    expect(bytes.slice(0, 8)).toEqual([0, 10, 20, 30, 10, 0, 30, 20])
    disposeBatch(batch)
  }
  expect(memory().liveBytes).toBe(before)
})

test('G of vectors is their Gram matrix; a key that is not there is an error', async () => {
  const { collate } = new Collator({ gFrom: 'vector' })
  const vector = tensor([1, 2, 3, 4]).reshape([2, 2])
  const batch = collate({ index: tensor(BigInt64Array.of(0n, 1n)), vector })
  expect(await values(batch['G'])).toEqual([5, 11, 11, 25])
  disposeBatch(batch)
  expect(() => collate({ index: tensor(BigInt64Array.of(0n)) })).toThrow(expect.objectContaining({ code: 'ERR_DATA' }))
})

test('foldViews: apart by view, in the order of images', async () => {
  await scope(async () => {
    const rows = tensor([10, 20, 11, 0, 21, 1]).reshape([6, 1])
    const [first, second, ...others] = await foldViews(rows, tensor(BigInt64Array.of(1n, 2n, 1n, 0n, 2n, 0n)))
    expect(others).toEqual([])
    expect([await values(first), await values(second)]).toEqual([
      [0, 10, 20],
      [1, 11, 21],
    ])
    await expect(foldViews(rows, [0, 0, 1, 1, 1, 2])).rejects.toMatchObject({ code: 'ERR_DATA' })
    await expect(foldViews(rows, [0])).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })
})

test('applyMasks: the tokens that each mask names, mask after mask', async () => {
  const x = tensor(Float32Array.from({ length: 12 }, (_, i) => i)).reshape([2, 3, 2])
  const masks = [BigInt64Array.of(0n, 2n, 1n, 1n), BigInt64Array.of(2n, 1n, 0n, 2n)].map((m) =>
    tensor(m).reshape([2, 2]),
  )
  const found = scope(() => applyMasks(x, ...masks))
  expect(found.shape).toEqual([4, 2, 2])
  expect(await values(found)).toEqual([0, 1, 4, 5, 8, 9, 8, 9, 4, 5, 2, 3, 6, 7, 10, 11])
  expect(() => applyMasks(x)).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => applyMasks(x, tensor(BigInt64Array.of(0n)).reshape([1, 1]))).toThrow('the masks are [1, 1]')
})
