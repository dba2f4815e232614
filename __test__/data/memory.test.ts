/** Memory over epochs of photos with two views of 224 pixels: once the pool is full, no epoch takes more. */
import { expect, test } from 'vitest'
import { disposeBatch } from '../../src/data/collate.js'
import { DataLoader } from '../../src/data/data-loader.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import type { MultiView } from '../../src/data/transform.js'
import { memory } from '../../src/tensor/index.js'
import { build } from '../plugins/build.js'
import { fixture } from './fixtures.js'

const images = 120
const mebibyte = 2 ** 20

test('it stays flat', { timeout: 120_000 }, async () => {
  const photos = await ImageFolderDataset.open(fixture('photos'))
  const dataset = {
    name: 'photos, again and again',
    length: images,
    get: async (index: number) => ({ ...(await photos.get(index % photos.length)), index }),
  }
  const transform = (await build('transform', { type: 'simclr', size: 224 }, {})) as MultiView
  const loader = new DataLoader({ dataset, batchSize: 16, shuffle: true, transform, numWorkers: 2 })
  const epochs: { live: number; resident: number }[] = []
  for (let epoch = 0; epoch < 20; epoch++) {
    loader.setEpoch(epoch)
    for await (const batch of loader) disposeBatch(batch)
    epochs.push({ live: memory().liveBytes, resident: process.memoryUsage.rss() })
  }
  const [first, full] = [epochs[0], epochs[7]]
  expect(epochs.map(({ live }) => live)).toEqual(epochs.map(() => first!.live))
  // A batch has 19 MiB and an epoch 8 of them: one kept in four would be 456 MiB over twelve epochs.
  expect(epochs.at(-1)!.resident - full!.resident).toBeLessThan(128 * mebibyte)
})
