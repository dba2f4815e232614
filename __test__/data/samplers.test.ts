/** Samplers beyond the plain ones: repeated indices, batches by class, batches at random. */
import { describe, expect, test } from 'vitest'
import { disposeBatch } from '../../src/data/collate.js'
import { DataLoader } from '../../src/data/data-loader.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import { RandomBatchSampler, RepeatedRandomSampler, SupervisedBatchSampler } from '../../src/data/samplers.js'
import type { Transform } from '../../src/data/transform.js'
import { build } from '../plugins/build.js'
import { fixture } from './fixtures.js'

const photos = await ImageFolderDataset.open(fixture('photos'))
const crop = (await build('transform', { type: 'random-resized-crop', size: 16 }, {})) as Transform
const numbers = async (tensor: { data(): Promise<unknown> } | undefined) =>
  Array.from((await tensor?.data()) as BigInt64Array, Number)

describe('RepeatedRandomSampler', () => {
  test('each index stands in a row, in an order of (seed, epoch)', () => {
    const sampler = new RepeatedRandomSampler(5, { nViews: 3, seed: 1 })
    const indices = Array.from(sampler.indices(4))
    expect(indices).toHaveLength(sampler.length)
    const images = indices.filter((_, i) => i % 3 === 0)
    expect(images.toSorted()).toEqual([0, 1, 2, 3, 4])
    expect(indices).toEqual(images.flatMap((index) => [index, index, index]))
    expect(Array.from(sampler.views())).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
    expect(Array.from(sampler.indices(4))).toEqual(indices)
    expect(Array.from(sampler.indices(5))).not.toEqual(indices)
  })

  test('ranks share an epoch without overlap, equally many each: ceil((n - world) / world)', () => {
    const ranks = [0, 1, 2].map((rank) => new RepeatedRandomSampler({ length: 11 }, { worldSize: 3, rank }))
    expect(ranks.map(({ length }) => length)).toEqual([3, 3, 3])
    expect(new Set(ranks.flatMap((sampler) => Array.from(sampler.indices(0)))).size).toBe(9)
    expect(new RepeatedRandomSampler(12, { worldSize: 3 }).length).toBe(4)
  })

  test('the views of an image differ, and are the same whatever the workers', async () => {
    const load = async (numWorkers: number) => {
      const sampler = new RepeatedRandomSampler(photos, { nViews: 2, seed: 3, passViewIdx: true })
      const batches: unknown[] = []
      for await (const batch of new DataLoader({
        dataset: photos,
        batchSize: 6,
        sampler,
        transform: crop,
        numWorkers,
      })) {
        const pixels = (await batch.image?.data()) as Float32Array
        const size = pixels.length / 6
        const images = Array.from({ length: 6 }, (_, i) => pixels.slice(i * size, (i + 1) * size))
        const index = await numbers(batch.index)
        expect([index[0], index[2], index[4]]).toEqual([index[1], index[3], index[5]])
        expect(images[0]).not.toEqual(images[1])
        expect(Array.from((await (batch['viewIdx'] as typeof batch.index).data()) as Float32Array)).toEqual([
          0, 1, 0, 1, 0, 1,
        ])
        batches.push(images)
        disposeBatch(batch)
      }
      return batches
    }
    expect(await load(1)).toEqual(await load(4))
  })

  test('bad arguments', () => {
    for (const options of [{ nViews: 0 }, { seed: -1 }, { rank: 1 }, { worldSize: 2, rank: 2 }])
      expect(() => new RepeatedRandomSampler(4, options)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

describe('SupervisedBatchSampler', () => {
  // Class 0 four times as often as class 1.
  const labels = Array.from({ length: 500 }, (_, i) => (i % 5 === 0 ? 1 : 0))

  test('different samples of a class stand together; classes as often as they occur', () => {
    const sampler = new SupervisedBatchSampler(10, 2, labels, 7)
    expect(sampler.length).toBe(25)
    let ones = 0
    for (let epoch = 0; epoch < 20; epoch++) {
      for (const batch of sampler.batches(epoch)) {
        expect(batch).toHaveLength(10)
        for (let i = 0; i < 10; i += 2) {
          expect(labels[batch[i] as number]).toBe(labels[batch[i + 1] as number])
          expect(batch[i]).not.toBe(batch[i + 1])
          ones += labels[batch[i] as number] as number
        }
      }
    }
    // 2,500 draws with probability 1/5: five standard deviations are 0.04.
    expect(Math.abs(ones / 2500 - 0.2)).toBeLessThan(0.04)
    expect(sampler.batches(3)).toEqual(sampler.batches(3))
    expect(sampler.batches(3)).not.toEqual(sampler.batches(4))
  })

  test('feeds a loader', async () => {
    const batchSampler = new SupervisedBatchSampler(6, 3, photos.labels!)
    const loader = new DataLoader({ dataset: photos, batchSampler, transform: crop })
    expect(loader.length).toBe(1)
    for await (const batch of loader) {
      const found = await numbers(batch.label)
      expect([found[0], found[3]]).toEqual([found[2], found[5]])
      disposeBatch(batch)
    }
    expect(() => new DataLoader({ dataset: photos, batchSampler, shuffle: true })).toThrow('batchSampler')
  })

  test('a class that is too small, a batch that views do not divide', () => {
    expect(() => new SupervisedBatchSampler(4, 2, [0, 0, 1])).toThrow('class 1 has 1 samples, 2 are needed')
    expect(() => new SupervisedBatchSampler(5, 2, [0, 0])).toThrow('multiple of nViews')
  })
})

test('RandomBatchSampler: every index once, the last batch smaller', () => {
  const sampler = new RandomBatchSampler(4, { length: 10 }, 2)
  const batches = sampler.batches(0)
  expect(batches.map((batch) => batch.length)).toEqual([4, 4, 2])
  expect(sampler.length).toBe(3)
  expect(batches.flatMap((batch) => Array.from(batch)).toSorted((a, b) => a - b)).toEqual([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
  ])
})
