/** Memory over three epochs of photos with two views of 224 pixels: what the first epoch took is enough for the others. */
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
  for (let epoch = 0; epoch < 3; epoch++) {
    loader.setEpoch(epoch)
    for await (const batch of loader) disposeBatch(batch)
    epochs.push({ live: memory().liveBytes, resident: process.memoryUsage.rss() })
  }
  const [first, , third] = epochs
  expect(epochs.map(({ live }) => live)).toEqual(epochs.map(() => first!.live))
  // A batch has 19 MiB and an epoch 8 of them: one kept in four would show.
  expect(third!.resident - first!.resident).toBeLessThan(64 * mebibyte)
})
