/** The loader on real images: the same batches whatever the workers, exact places, back-pressure, errors, nothing left behind. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { disposeBatch } from '../../src/data/collate.js'
import { type Batch, DataLoader, type DataLoaderOptions } from '../../src/data/data-loader.js'
import { readIdxDataset } from '../../src/data/idx.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import type { Dataset, Sample } from '../../src/data/sample.js'
import { compose, MultiViewTransform, type Transform, isMultiView } from '../../src/data/transform.js'
import { memory } from '../../src/tensor/index.js'
import { build } from '../plugins/build.js'
import { fixture } from './fixtures.js'

const photos = await ImageFolderDataset.open(fixture('photos'))
const clothes = await readIdxDataset({
  images: fixture('fashion-mnist', 't10k-images-idx3-ubyte.gz'),
  labels: fixture('fashion-mnist', 't10k-labels-idx1-ubyte'),
})
const views = async (value: object) => compose([await build('transform', value, {})])
const simclr = await views({ type: 'simclr', size: 24, blur: 0.5, statistics: 'ImageNet' })
const plain = await views({ type: 'evaluation', size: 24, statistics: 'ImageNet' })

/** A batch as plain values, to compare. Its tensors are freed. */
async function content(batch: Batch): Promise<unknown> {
  const images = batch.views?.map((view) => view.image) ?? [batch.image!]
  const pixels = await Promise.all(
    images.map(async (image) => Buffer.from((await image.data()).buffer).toString('base64')),
  )
  const index = Array.from((await batch.index.data()) as BigInt64Array, Number)
  disposeBatch(batch)
  return { pixels, index }
}

async function all(loader: DataLoader): Promise<unknown[]> {
  const batches: unknown[] = []
  for await (const batch of loader) batches.push(await content(batch))
  return batches
}

async function indices(loader: DataLoader): Promise<number[][]> {
  return ((await all(loader)) as { index: number[] }[]).map(({ index }) => index)
}

describe('what a batch holds', () => {
  test('one view: an image [batch, channel, height, width], labels and indices', async () => {
    const loader = new DataLoader({ dataset: photos, batchSize: 4, transform: plain })
    const batch = (await loader[Symbol.asyncIterator]().next()).value as Batch
    expect(batch.image?.shape).toEqual([4, 3, 24, 24])
    expect(batch.image?.dtype).toBe('float32')
    expect(batch.label?.dtype).toBe('int64')
    expect(await batch.label?.data()).toEqual(new BigInt64Array(4))
    expect(await batch.index.data()).toEqual(new BigInt64Array([0n, 1n, 2n, 3n]))
    expect(batch.views).toBeUndefined()
    disposeBatch(batch)
    await loader.dispose()
  })

  test('several views, each with its labels, differ', async () => {
    const loader = new DataLoader({ dataset: photos, batchSize: 18, transform: simclr })
    for await (const batch of loader) {
      const [first, second, ...others] = batch.views ?? []
      expect(others).toEqual([])
      expect(first?.image.shape).toEqual([18, 3, 24, 24])
      expect(await second?.label?.data()).toEqual(BigInt64Array.from(photos.labels!, BigInt))
      expect(await first?.image.data()).not.toEqual(await second?.image.data())
      expect(batch.image).toBeUndefined()
      disposeBatch(batch)
    }
  })

  test('named views', async () => {
    const views = { student: plain as Transform, teacher: plain as Transform }
    const loader = new DataLoader({ dataset: photos, batchSize: 18, transform: new MultiViewTransform(views) })
    for await (const batch of loader) {
      expect((batch['teacher'] as { image: { shape: number[] } }).image.shape).toEqual([18, 3, 24, 24])
      expect(Object.keys(batch).toSorted()).toEqual(['index', 'label', 'student', 'teacher'])
      disposeBatch(batch)
    }
  })

  test('without a transform: pixels scaled to [0, 1], in their place', async () => {
    const loader = new DataLoader({ dataset: clothes, batchSize: 64 })
    for await (const batch of loader) {
      expect(batch.image?.shape).toEqual([64, 1, 28, 28])
      const values = (await batch.image!.data()) as Float32Array
      const scale = Math.fround(1 / 255) // torchvision's to_dtype multiplies, in float32
      expect(values).toEqual(Float32Array.from(clothes.pixels, (byte) => byte * scale))
      disposeBatch(batch)
    }
  })

  test('what else the samples say', async () => {
    const dataset: Dataset = {
      name: 'mine',
      length: 3,
      get: (index) => ({ ...clothes.get(index), weight: index / 2, id: BigInt(index), file: `f${index}` }),
    }
    for await (const batch of new DataLoader({ dataset, batchSize: 3 })) {
      const { weight, id, file } = batch as unknown as Record<string, { data(): Promise<unknown> }>
      expect(await weight?.data()).toEqual(new Float32Array([0, 0.5, 1]))
      expect(await id?.data()).toEqual(new BigInt64Array([0n, 1n, 2n]))
      expect(file).toEqual(['f0', 'f1', 'f2'])
      disposeBatch(batch)
    }
  })
})

describe('order', () => {
  test('drop_last and the number of batches', async () => {
    const lengths = async (options: Partial<DataLoaderOptions>) => {
      const loader = new DataLoader({ dataset: photos, transform: plain, ...options })
      const sizes = (await indices(loader)).map((batch) => batch.length)
      expect(sizes).toHaveLength(loader.length)
      return sizes
    }
    expect(await lengths({ batchSize: 8 })).toEqual([8, 8, 2])
    expect(await lengths({ batchSize: 8, dropLast: true })).toEqual([8, 8])
    expect(await lengths({ batchSize: 20, dropLast: true })).toEqual([])
  })

  test('the shuffled order of a seed never changes, and is another in each epoch', async () => {
    const loader = new DataLoader({ dataset: photos, batchSize: 6, shuffle: true, seed: 3, transform: plain })
    expect((await indices(loader)).flat()).toMatchInlineSnapshot(`
      [
        8,
        0,
        9,
        1,
        10,
        11,
        3,
        15,
        13,
        2,
        16,
        4,
        6,
        17,
        14,
        5,
        12,
        7,
      ]
    `)
    expect((await indices(loader)).flat()).toMatchInlineSnapshot(`
      [
        11,
        1,
        14,
        13,
        9,
        17,
        8,
        5,
        15,
        7,
        2,
        10,
        4,
        6,
        12,
        0,
        16,
        3,
      ]
    `)
    loader.setEpoch(0)
    expect(loader.state()).toEqual({ epoch: 0, batch: 0 })
  })

  test('a sampler of one’s own', async () => {
    const sampler = { length: 4, indices: (epoch: number) => [17 - epoch, 3, 3, 0] }
    const loader = new DataLoader({ dataset: photos, batchSize: 3, sampler, transform: plain })
    expect(await indices(loader)).toEqual([[17, 3, 3], [0]])
    expect(await indices(loader)).toEqual([[16, 3, 3], [0]])
  })

  test('the seed of the run holds for a loader that was given none', async () => {
    const given = new DataLoader({ dataset: photos, shuffle: true, seed: 1, batchSize: 18, transform: plain })
    const none = new DataLoader({ dataset: photos, shuffle: true, batchSize: 18, transform: plain })
    given.setSeed(9)
    none.setSeed(1)
    expect(given.seed).toBe(1)
    expect(await indices(none)).toEqual(await indices(given))
  })
})

describe.each([
  ['photos', photos, simclr],
  ['clothes', clothes, undefined],
] as const)('%s', (_, dataset, transform) => {
  const options = { dataset, batchSize: 5, shuffle: true, seed: 11, ...(transform === undefined ? {} : { transform }) }

  test('the number of workers changes nothing', async () => {
    const batches = await all(new DataLoader({ ...options, numWorkers: 1 }))
    for (const [numWorkers, prefetch] of [
      [0, 2],
      [4, 2],
      [2, 8],
      [3, 0],
    ] as const) {
      expect(await all(new DataLoader({ ...options, numWorkers, prefetch }))).toEqual(batches)
    }
  })

  test('stopped anywhere, a new loader gives the remaining batches', async () => {
    const reference = new DataLoader(options)
    reference.setEpoch(2)
    const batches = await all(reference)
    for (let stop = 0; stop <= batches.length; stop++) {
      const stopped = new DataLoader(options)
      stopped.setEpoch(2)
      if (stop > 0) {
        for await (const batch of stopped) {
          disposeBatch(batch)
          if (stopped.state().batch === stop) break
        }
      }
      expect(stopped.state()).toEqual({ epoch: 2, batch: stop })
      const resumed = new DataLoader(options)
      resumed.load(stopped.state())
      resumed.setEpoch(2) // as a trainer does at the start of its epoch: the place stays
      expect(await all(resumed)).toEqual(batches.slice(stop))
    }
  })

  test('epochs follow one another, and each can be repeated', async () => {
    const loader = new DataLoader(options)
    const [first, second] = [await all(loader), await all(loader)]
    expect(second).not.toEqual(first)
    loader.setEpoch(0)
    expect(await all(loader)).toEqual(first)
    expect(await all(loader)).toEqual(second)
    expect(loader.state()).toEqual({ epoch: 1, batch: loader.length })
  })
})

describe('memory', () => {
  test('leaving early frees what was made ahead', async () => {
    const before = memory()
    const loader = new DataLoader({ dataset: photos, batchSize: 2, transform: simclr, numWorkers: 4, prefetch: 6 })
    for await (const batch of loader) {
      await sleep(50) // time to make some ahead
      disposeBatch(batch)
      break
    }
    expect(memory().liveBytes).toBe(before.liveBytes)
  })

  test('so does dispose, in the middle of an epoch', async () => {
    const before = memory()
    const loader = new DataLoader({ dataset: photos, batchSize: 2, transform: simclr, numWorkers: 4, prefetch: 6 })
    const iteration = loader[Symbol.asyncIterator]()
    disposeBatch((await iteration.next()).value)
    await loader.dispose()
    expect(memory().liveBytes).toBe(before.liveBytes)
    expect((await iteration.next()).done).toBe(true)
  })

  test('batches that nobody takes are not made: back-pressure', async () => {
    let read = 0
    const dataset: Dataset = { name: 'counted', length: 64, get: (index) => (read++, clothes.get(index)) }
    const loader = new DataLoader({ dataset, batchSize: 4, numWorkers: 2, prefetch: 3 })
    const iteration = loader[Symbol.asyncIterator]()
    disposeBatch((await iteration.next()).value)
    await sleep(100)
    expect(read).toBe(4 * (1 + 3))
    await iteration.return()
  })

  test('without workers nothing is made ahead', async () => {
    let read = 0
    const dataset: Dataset = { name: 'counted', length: 64, get: (index) => (read++, clothes.get(index)) }
    const iteration = new DataLoader({ dataset, batchSize: 4, numWorkers: 0 })[Symbol.asyncIterator]()
    disposeBatch((await iteration.next()).value)
    await sleep(20)
    expect(read).toBe(4)
    await iteration.return()
  })
})

describe('errors', () => {
  const damaged = (bad: number, image: Sample['image']): Dataset => ({
    name: 'damaged',
    length: 18,
    get: async (index) => (index === bad ? { image, index, label: 0 } : photos.get(index)),
  })
  const failing = async (options: DataLoaderOptions) => {
    let taken = 0
    const loader = new DataLoader({ batchSize: 4, transform: plain, ...options })
    const run = async () => {
      for await (const batch of loader) {
        disposeBatch(batch)
        taken++
      }
    }
    const error = (await run().then(
      () => undefined,
      (reason: unknown) => reason,
    )) as { code: string; message: string }
    return { taken, code: error.code, message: error.message }
  }

  test.each([0, 1, 4])('a damaged file is named when its batch is due (%i workers)', async (numWorkers) => {
    const whole = await readFile(fixture('photos', photos.files[13] as string))
    const image = { encoded: whole.subarray(0, whole.length / 2), path: 'photos/half.jpg' }
    const { taken, code, message } = await failing({ dataset: damaged(13, image), numWorkers })
    expect({ taken, code }).toEqual({ taken: 3, code: 'ERR_DATA' })
    expect(message).toMatch(/sample 13.*photos\/half\.jpg/)
  })

  test('a missing file', async () => {
    const dataset: Dataset = { name: 'gone', length: 2, get: () => Promise.reject(new Error('the disk is gone')) }
    expect(await failing({ dataset })).toMatchObject({ code: 'ERR_DATA', message: 'gone, sample 0: the disk is gone' })
  })

  test('no image at all, an array that is too short', async () => {
    const text = { encoded: new TextEncoder().encode('no image'), path: 'notes.jpg' }
    expect(await failing({ dataset: damaged(2, text) })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('notes.jpg'),
    })
    const short = { pixels: new Uint8Array(10), offset: 4, width: 2, height: 2, channels: 3 }
    expect(await failing({ dataset: damaged(2, short) })).toMatchObject({
      message: expect.stringContaining('sample 2'),
    })
  })

  test('images of different sizes in one batch', async () => {
    expect(await failing({ dataset: photos, transform: { steps: [] } })).toMatchObject({
      code: 'ERR_SHAPE',
      message: expect.stringMatching(/sample \d+ \(.*photos/),
    })
  })

  test('a sample without an image', async () => {
    const dataset = { name: 'mine', length: 1, get: () => ({ index: 0 }) } as unknown as Dataset
    expect(await failing({ dataset })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('sample 0: expected an image'),
    })
  })

  test('a failure leaves no tensor behind', async () => {
    const before = memory().liveBytes
    const bad = { encoded: new Uint8Array(3) }
    await failing({ dataset: damaged(5, bad), numWorkers: 4 })
    const unlabelled: Dataset = {
      name: 'x',
      length: 2,
      get: (index) => (index === 0 ? clothes.get(0) : { ...clothes.get(1), label: 0.5 }),
    }
    expect(await failing({ dataset: unlabelled })).toMatchObject({
      message: expect.stringContaining('whole number as label'),
    })
    expect(memory().liveBytes).toBe(before)
  })

  test('labels that only some samples have', async () => {
    const dataset: Dataset = {
      name: 'half labelled',
      length: 4,
      get: (index) => (index < 2 ? clothes.get(index) : { image: clothes.get(index).image, index }),
    }
    expect(await failing({ dataset })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('no "label"'),
    })
  })

  test('options that make no sense', () => {
    for (const wrong of [
      { batchSize: 0 },
      { batchSize: 1.5 },
      { numWorkers: -1 },
      { seed: -1 },
      { shuffle: true, sampler: { length: 1, indices: () => [0] } },
    ]) {
      expect(() => new DataLoader({ dataset: clothes, ...wrong })).toThrow(
        expect.objectContaining({ code: 'ERR_ARGUMENT' }),
      )
    }
    const loader = new DataLoader({ dataset: clothes, batchSize: 32 })
    expect(() => loader.load({ epoch: 0, batch: 3 })).toThrow(expect.objectContaining({ code: 'ERR_CHECKPOINT' }))
  })
})

test('the event loop goes on while images are decoded and augmented', async () => {
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const big = await views({ type: 'simclr', size: 512, copies: 4 })
  expect(isMultiView(big)).toBe(true)
  for await (const batch of new DataLoader({ dataset: photos, batchSize: 18, transform: big })) disposeBatch(batch)
  clearInterval(timer)
  expect(ticks).toBeGreaterThan(5)
})
