/** Samples that cannot be read: what takes their place, what is told of them, and when there are too many. */
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { disposeBatch } from '../../src/data/collate.js'
import { type Batch, DataLoader, type DataLoaderOptions } from '../../src/data/data-loader.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import type { Dataset } from '../../src/data/sample.js'
import type { Transform } from '../../src/data/transform.js'
import { type Tensor, memory } from '../../src/tensor/index.js'
import { build } from '../plugins/build.js'
import { fixture } from './fixtures.js'

const photos = await ImageFolderDataset.open(fixture('photos'))
const transform = (await build('transform', { type: 'random-resized-crop', size: 16 }, {})) as Transform

/** The photos, some of them missing and some cut in half. */
function damaged(missing: readonly number[], halves: readonly number[]): Dataset & { reads: number } {
  return {
    name: 'photos',
    length: 18,
    reads: 0,
    async get(index) {
      this.reads++
      if (missing.includes(index)) throw new Error('the file is gone')
      if (!halves.includes(index)) return photos.get(index)
      const path = photos.files[index] as string
      const whole = await readFile(fixture('photos', path))
      return { image: { encoded: whole.subarray(0, whole.length / 2), path }, label: 0, index }
    },
  }
}

async function content(batch: Batch): Promise<unknown> {
  const index = Array.from((await batch.index.data()) as BigInt64Array, Number)
  const pixels = Buffer.from(((await (batch.image as Tensor).data()) as Float32Array).buffer).toString('base64')
  disposeBatch(batch)
  return { index, pixels }
}

async function all(loader: DataLoader): Promise<{ index: number[]; pixels: string }[]> {
  const batches: unknown[] = []
  for await (const batch of loader) batches.push(await content(batch))
  return batches as { index: number[]; pixels: string }[]
}

const options = (dataset: Dataset, more: Partial<DataLoaderOptions> = {}): DataLoaderOptions => ({
  dataset,
  batchSize: 6,
  shuffle: true,
  seed: 5,
  transform,
  onError: 'skip',
  ...more,
})

describe('skipping', () => {
  test('another sample takes the place, the others stay as they are, and each is told once', async () => {
    const told: number[] = []
    const loader = new DataLoader(options(damaged([4, 9], [13])))
    loader.onSkip(({ index }) => told.push(index))
    const before = memory().liveBytes
    const [whole, found] = [await all(new DataLoader(options(photos))), await all(loader)]
    found.forEach(({ index }, batch) => {
      expect(index).toHaveLength(6)
      index.forEach((place, i) => {
        expect([4, 9, 13]).not.toContain(place)
        const original = whole[batch]?.index[i] as number
        expect([original, [4, 9, 13].includes(original) ? original : place]).toEqual([original, original])
      })
    })
    await all(loader)
    expect(told.toSorted((a, b) => a - b)).toEqual([4, 9, 13])
    expect(loader.skipped.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([4, 9, 13])
    expect(loader.skipped.find(({ index }) => index === 13)).toMatchObject({ path: photos.files[13], epoch: 0 })
    expect(loader.skipped.find(({ index }) => index === 4)?.message).toBe('photos, sample 4: the file is gone')
    expect(memory().liveBytes).toBe(before)
  })

  test('the number of workers changes nothing, nor does stopping: the same samples take the places', async () => {
    const batches = await all(new DataLoader(options(damaged([0, 1, 2], [7, 8]), { numWorkers: 1 })))
    for (const numWorkers of [0, 4]) {
      expect(await all(new DataLoader(options(damaged([0, 1, 2], [7, 8]), { numWorkers })))).toEqual(batches)
    }
    const resumed = new DataLoader(options(damaged([0, 1, 2], [7, 8])))
    resumed.load({ epoch: 0, batch: 2 })
    expect(await all(resumed)).toEqual(batches.slice(2))
  })

  test('a part of a larger set skips by its own places', async () => {
    const { Subset } = await import('../../src/data/subset.js')
    const part = new Subset(damaged([], [16, 17]), [10, 11, 12, 13, 14, 15, 16, 17])
    const [only] = await all(new DataLoader(options(part, { batchSize: 8 })))
    expect(only?.index.toSorted()).toHaveLength(8)
    expect(only?.index.every((index) => index < 6)).toBe(true)
  })
})

describe('ends in an error', () => {
  const failing = (more: Partial<DataLoaderOptions>, dataset = damaged([1, 2, 3], [4])) =>
    all(new DataLoader(options(dataset, more))).then(
      () => undefined,
      (error: unknown) => error as { code: string; message: string },
    )

  test('one more than max_errors, or every sample', async () => {
    expect(await failing({ maxErrors: 4 })).toBeUndefined()
    expect(await failing({ maxErrors: 3 })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/^more than 3 samples cannot be read, among them: .*the file is gone/),
    })
    const none = damaged(
      Array.from({ length: 18 }, (_, i) => i),
      [],
    )
    expect(await failing({}, none)).toMatchObject({ message: expect.stringContaining('nearly all samples') })
  })

  test('raise is the default; a mistake in the transform is never skipped', async () => {
    const { onError: _, ...rest } = options(damaged([1], []))
    await expect(all(new DataLoader(rest))).rejects.toMatchObject({ message: 'photos, sample 1: the file is gone' })
    expect(await failing({ transform: { steps: [] } }, damaged([], []))).toMatchObject({ code: 'ERR_SHAPE' })
    expect(() => new DataLoader(options(photos, { onError: 'ignore' as never }))).toThrow('raise or skip')
  })
})

test('batches ahead stay within their memory', async () => {
  const dataset = damaged([], [])
  // A batch of three 16x16 images is 9.2 kB: with room for one no second is made.
  const loader = new DataLoader(options(dataset, { batchSize: 3, numWorkers: 3, prefetch: 5, prefetchBytes: 10_000 }))
  const iteration = loader[Symbol.asyncIterator]()
  disposeBatch((await iteration.next()).value)
  disposeBatch((await iteration.next()).value)
  await new Promise((resolve) => setTimeout(resolve, 100))
  const made = dataset.reads / 3
  disposeBatch((await iteration.next()).value)
  await new Promise((resolve) => setTimeout(resolve, 50))
  // The first batches are made before their size is known.
  expect(made).toBe(5)
  disposeBatch((await iteration.next()).value)
  await iteration.return()
})
