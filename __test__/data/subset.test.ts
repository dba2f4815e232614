/** Subsets, sums and seeded splits of data sets. */
import { expect, test } from 'vitest'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import { InMemoryDataset } from '../../src/data/in-memory.js'
import { Concat, Subset, randomSplit } from '../../src/data/subset.js'
import { readIdxDataset } from '../../src/data/idx.js'
import { fixture } from './fixtures.js'

const images = fixture('fashion-mnist', 't10k-images-idx3-ubyte.gz')
const labels = fixture('fashion-mnist', 't10k-labels-idx1-ubyte')
const clothes = await readIdxDataset({ images, labels, name: 'clothes' })
const photos = await ImageFolderDataset.open(fixture('photos'))

test('a subset hands on the samples of its indices; their index is their place among them', async () => {
  const subset = new Subset(photos, [17, 0, 7])
  expect(subset.length).toBe(3)
  expect(subset.classes).toEqual(photos.classes)
  expect(await subset.get(0)).toEqual({ ...(await photos.get(17)), index: 0 })
  expect(await subset.get(2)).toEqual({ ...(await photos.get(7)), index: 2 })
  await expect(subset.get(3)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  expect(() => new Subset(photos, [18])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('a sum counts through', async () => {
  const both = new Concat([clothes, new Subset(clothes, [5]), photos])
  expect(both.length).toBe(64 + 1 + 18)
  expect((await both.get(64)).label).toBe(clothes.get(5).label)
  expect(await both.get(65 + 17)).toEqual({ ...(await photos.get(17)), index: 65 + 17 })
  await expect(both.get(83)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('a sum of data sets whose labels mean different things is refused', () => {
  const pixels = new Uint8Array(3)
  const one = new InMemoryDataset({ pixels, width: 1, height: 1, channels: 3, classes: ['a', 'b'], name: 'one' })
  expect(() => new Concat([photos, one])).toThrow(expect.objectContaining({ code: 'ERR_DATA' }))
  expect(new Concat([photos, photos]).classes).toEqual(photos.classes)
})

test('a split has no overlap, leaves nothing out and depends on the seed alone', () => {
  const parts = randomSplit(clothes, [0.7, 0.2, 0.1], 4)
  // 64 * (0.7, 0.2, 0.1) rounds down to 44, 12, 6; the two left over go to the first parts.
  expect(parts.map((part) => part.length)).toEqual([45, 13, 6])
  const indices = parts.flatMap((part) => Array.from(part.indices))
  expect(indices.sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => i))
  const again = randomSplit(clothes, [45, 13, 6], 4)
  expect(again.map((part) => Array.from(part.indices))).toEqual(
    randomSplit(clothes, [0.7, 0.2, 0.1], 4).map((part) => Array.from(part.indices)),
  )
  expect(Array.from(randomSplit(clothes, [32, 32], 5)[0]!.indices)).not.toEqual(
    Array.from(randomSplit(clothes, [32, 32], 4)[0]!.indices),
  )
})

test.each([[[10, 10]], [[0.5, 0.6]], [[0.5, 0.2]], [[-1, 65]], [[]]])('parts %j are refused', (parts) => {
  expect(() => randomSplit(clothes, parts)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('an array of bytes has to fit its labels and its size', () => {
  const options = { pixels: new Uint8Array(24), width: 2, height: 2, channels: 3 as const }
  expect(new InMemoryDataset({ ...options, labels: [4, 5] }).get(1)).toMatchObject({ label: 5, image: { offset: 12 } })
  expect(() => new InMemoryDataset({ ...options, labels: [1] })).toThrow('2 images but 1 labels')
  expect(() => new InMemoryDataset({ ...options, width: 3 })).toThrow('24 bytes are not a whole number of 2x3x3 images')
})

test('a subset of a data set with an order of its own follows that order', async () => {
  const whole = {
    name: 'ordered',
    length: 6,
    get: (index: number) => clothes.get(index),
    shuffled: () => [3, 1, 5, 0, 4, 2],
  }
  const subset = new Subset(whole, [0, 5, 2, 5])
  expect(Array.from(subset.shuffled(0, 0))).toEqual([3, 1, 0, 2])
  const plain = new Subset(clothes, [4, 2, 9])
  expect(Array.from(plain.shuffled(1, 2)).toSorted()).toEqual([0, 1, 2])
  expect(plain.shuffled(1, 2)).toEqual(plain.shuffled(1, 2))
})
