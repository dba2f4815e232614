/** Every reader of containers on 2,000 damaged versions of real files: an error with a code or samples, never a crash or a hang. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { readCifar } from '../../src/data/cifar.js'
import { memorySource } from '../../src/data/file.js'
import { parseIdx } from '../../src/data/idx.js'
import { ManifestDataset } from '../../src/data/manifest.js'
import { readNpzDataset } from '../../src/data/npz.js'
import { ParquetDataset } from '../../src/data/parquet.js'
import { pictureOf, type Dataset } from '../../src/data/sample.js'
import { WebDataset } from '../../src/data/webdataset.js'
import { fixture, temporaryFolder } from './fixtures.js'
import { mutated, survives } from './mutate.js'

const count = 2000
const folder = await temporaryFolder()

async function readAll(dataset: Dataset): Promise<void> {
  for (let i = 0; i < Math.min(dataset.length, 20); i++) {
    const image = pictureOf((await dataset.get(i)).image)
    expect('encoded' in image ? image.encoded : image.pixels).toBeInstanceOf(Uint8Array)
  }
}

/** Readers that take paths only get each version as a file. */
async function asFile(bytes: Uint8Array, name: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

test.each(['hub.parquet', 'version-2.parquet', 'bytes.parquet', 'zstd.parquet', 'pages.parquet', 'delta.parquet'])(
  '%s',
  { timeout: 120_000 },
  async (name) => {
    const bytes = await readFile(fixture('containers', name))
    // A fifth of the versions a file, so that they are more than 2,000 together.
    const { read, refused } = await survives(mutated(bytes, count / 5, 5), async (version) => {
      await readAll(await ParquetDataset.open({ files: [memorySource(name, version)], keep: ['label'] }))
    })
    expect(read + refused).toBe(count / 5)
    expect(refused).toBeGreaterThan(count / 50)
  },
)

test.each(['shard-000.tar', 'shard-001.tar', 'shard-002.tar'])('%s', { timeout: 60_000 }, async (name) => {
  const bytes = await readFile(fixture('containers', name))
  const { read, refused } = await survives(mutated(bytes, count / 3 + 1, 6), async (version) => {
    await readAll(await WebDataset.open({ shards: [memorySource(name, version)], keep: ['json'] }))
  })
  expect(read).toBeGreaterThan(10)
  expect(refused).toBeGreaterThan(100)
})

test('IDX', async () => {
  const bytes = await readFile(fixture('fashion-mnist', 't10k-labels-idx1-ubyte'))
  const { refused } = await survives(mutated(bytes, count, 7), async (version) => void parseIdx(version, 'labels'))
  expect(refused).toBeGreaterThan(100)
})

test('CIFAR', { timeout: 60_000 }, async () => {
  const bytes = (await readFile(fixture('photos-cifar10-layout.bin'))).subarray(0, 2 * 3073)
  const classes = Array.from({ length: 10 }, (_, i) => `${i}`)
  const { read, refused } = await survives(mutated(bytes, count, 8), async (version) => {
    const files = [await asFile(version, 'batch.bin')]
    await readAll(await readCifar({ files, labelBytes: 1, labelByte: 0, classes, name: 'cifar' }))
  })
  expect(Math.min(read, refused)).toBeGreaterThan(100)
})

test('packed shards', { timeout: 60_000 }, async () => {
  const bytes = gzipSync(await readFile(fixture('containers', 'shard-000.tar')))
  const { refused } = await survives(mutated(bytes, count, 11), async (version) => {
    await readAll(await WebDataset.open({ shards: [await asFile(version, 'damaged.tar.gz')] }))
  })
  expect(refused).toBeGreaterThan(100)
})

test('stored.npz, left on the disk', { timeout: 60_000 }, async () => {
  const bytes = await readFile(fixture('containers', 'stored.npz'))
  const { read, refused } = await survives(mutated(bytes, count, 12), async (version) => {
    await readAll(await readNpzDataset({ path: await asFile(version, 'damaged.npz'), memoryBytes: 0 }))
  })
  expect(Math.min(read, refused)).toBeGreaterThan(40)
})

test.each(['photos.npz', 'stored.npz'])('%s', { timeout: 60_000 }, async (name) => {
  const bytes = await readFile(fixture('containers', name))
  const { refused } = await survives(mutated(bytes, count / 2, 9), async (version) => {
    await readAll(await readNpzDataset({ path: await asFile(version, 'damaged.npz') }))
  })
  expect(refused).toBeGreaterThan(100)
})

test.each([
  ['list.csv', 'file_name,label,note\na.jpg,0,"one, two"\nb.jpg,1,"a ""word"""\nc.jpg,2,\n'],
  ['list.jsonl', '{"file_name": "a.jpg", "label": "x"}\n{"file_name": "b.jpg", "label": "y"}\n'],
])('%s', { timeout: 60_000 }, async (name, text) => {
  const { read, refused } = await survives(mutated(new TextEncoder().encode(text), count, 10), async (version) => {
    const list = await ManifestDataset.open({ path: await asFile(version, name) })
    expect(list.files).toHaveLength(list.length)
  })
  expect(Math.min(read, refused)).toBeGreaterThan(50)
})
