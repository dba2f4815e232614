/** Images in .npz files written by NumPy. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { InMemoryDataset } from '../../src/data/in-memory.js'
import { readNpzDataset, type NpzOptions } from '../../src/data/npz.js'
import type { RawImage } from '../../src/data/sample.js'
import { memory } from '../../src/tensor/index.js'
import { fixture } from './fixtures.js'

const path = fixture('containers', 'photos.npz')
const { npz } = JSON.parse(await readFile(fixture('containers', 'expected.json'), 'utf8')) as {
  npz: { labels: number[]; sha256: string; grey: string }
}
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

test('colour and grey images, packed or not; labels [count, 1]; nothing is left in memory', async () => {
  const before = memory().liveBytes
  const inMemory = async (options: NpzOptions) => (await readNpzDataset(options)) as InMemoryDataset
  const colour = await inMemory({ path })
  expect(colour).toMatchObject({ length: 9, width: 16, height: 16, channels: 3, name: 'photos.npz' })
  expect(digest(colour.pixels)).toBe(npz.sha256)
  expect(Array.from(colour.labels ?? [])).toEqual(npz.labels)
  const grey = await inMemory({ path, images: 'grey', labels: null })
  expect(grey).toMatchObject({ channels: 1, labels: undefined })
  expect(digest(grey.pixels)).toBe(npz.grey)
  expect(await readNpzDataset({ path: fixture('containers', 'stored.npz') })).toMatchObject({ length: 2, channels: 3 })
  expect(memory().liveBytes).toBe(before)
})

test('stored images stay on the disk where they are larger than asked for', async () => {
  const stored = fixture('containers', 'stored.npz')
  const held = (await readNpzDataset({ path: stored })) as InMemoryDataset
  const left = await readNpzDataset({ path: stored, memoryBytes: 100, classes: held.classes })
  expect(left).not.toHaveProperty('pixels')
  expect(left).toMatchObject({ length: 2, classes: held.classes, name: 'stored.npz' })
  for (const index of [1, 0]) {
    const { image, label } = await left.get(index)
    const { pixels, offset } = held.get(index).image as RawImage
    expect((image as RawImage).pixels).toEqual(pixels.slice(offset, offset + 16 * 16 * 3))
    expect(label).toBe(held.labels?.[index])
  }
  // Deflated ones have no places to read from.
  expect(await readNpzDataset({ path, memoryBytes: 0 })).toHaveProperty('pixels')
  await expect(readNpzDataset({ path: stored, images: 'labels', memoryBytes: 0 })).rejects.toMatchObject({
    code: 'ERR_DATA',
  })
  await expect(left.get(2)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test.each([
  [{ images: 'floats' }, 'uint8 [count, height, width(, channels)], found float64 [9, 16, 16, 3]'],
  [{ images: 'labels' }, 'found int64 [9, 1]'],
  [{ labels: 'grey' }, 'expected "grey" as 9 integers'],
  [{ labels: 'floats' }, 'expected "floats" as 9 integers'],
  [{ images: 'nothing' }, 'has no array "nothing"'],
  [{ classes: ['one'] }, 'none of the 1 classes'],
])('%j is refused', async (options, message) => {
  await expect(readNpzDataset({ path, ...options })).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining(message),
  })
})
