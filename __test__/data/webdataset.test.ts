/** WebDataset shards written by Python's tarfile in its three formats. */
import { createHash } from 'node:crypto'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { memorySource } from '../../src/data/file.js'
import type { EncodedImage } from '../../src/data/sample.js'
import { WebDataset } from '../../src/data/webdataset.js'
import { fixture, temporaryFolder } from './fixtures.js'

const containers = fixture('containers')
const expected = JSON.parse(await readFile(join(containers, 'expected.json'), 'utf8')) as {
  classes: string[]
  labels: number[]
  sha256: string[]
}
const shards = [join(containers, 'shard-{000..002}.tar')]
const digest = (image: unknown) =>
  createHash('sha256')
    .update((image as EncodedImage).encoded)
    .digest('hex')

test('samples of ustar, GNU and pax archives, with long names', async () => {
  const dataset = await WebDataset.open({ shards, keep: ['json'] })
  expect(dataset.length).toBe(6)
  for (let i = 5; i >= 0; i--) {
    const { image, label, index, json, key } = await dataset.get(i)
    expect([digest(image), label, index]).toEqual([expected.sha256[i], expected.labels[i], i])
    expect(json).toEqual({ label: expected.classes[expected.labels[i] as number], id: i })
    expect(key).toBe(`${i < 2 ? '' : 'a-folder-with-a-long-name/'.repeat(5)}sample${i}`)
  }
})

test('labels out of JSON, by the names of classes; none', async () => {
  const named = await WebDataset.open({ shards, label: 'json.label', classes: expected.classes })
  expect((await named.get(5)).label).toBe(2)
  const ids = await WebDataset.open({ shards, label: 'json.id' })
  expect((await ids.get(4)).label).toBe(4)
  expect(await (await WebDataset.open({ shards, label: null })).get(0)).not.toHaveProperty('label')
  await expect((await WebDataset.open({ shards, label: 'json.label' })).get(0)).rejects.toMatchObject({
    code: 'ERR_DATA',
    hint: expect.stringContaining('classes'),
  })
})

test('shards packed by gzip, unpacked again where memory holds one only', async () => {
  const folder = await temporaryFolder()
  for (const [i, name] of ['shard-000.tar', 'shard-001.tar', 'shard-002.tar'].entries())
    await writeFile(
      join(folder, `${i}.${i === 1 ? 'tgz' : 'tar.gz'}`),
      gzipSync(await readFile(join(containers, name))),
    )
  const dataset = await WebDataset.open({ shards: [folder], cacheBytes: 1 })
  expect(dataset.length).toBe(6)
  for (const i of [5, 0, 3, 1, 4, 2]) {
    const { image, label } = await dataset.get(i)
    expect([digest(image), label]).toEqual([expected.sha256[i], expected.labels[i]])
  }
  // An order that needs one shard at a time.
  const order = Array.from(dataset.shuffled(7, 0), (i) => Math.floor(i / 2))
  expect(order.filter((shard, i, all) => shard !== all[i - 1])).toHaveLength(3)
  await writeFile(
    join(folder, '3.tar.gz'),
    gzipSync(await readFile(join(containers, 'shard-000.tar'))).subarray(0, 900),
  )
  await expect(WebDataset.open({ shards: [folder] })).rejects.toMatchObject({ code: 'ERR_DATA' })
})

test('a folder of shards, in the order of their names', async () => {
  const folder = await temporaryFolder()
  for (const name of ['shard-001.tar', 'shard-000.tar']) await copyFile(join(containers, name), join(folder, name))
  const dataset = await WebDataset.open({ shards: [folder] })
  expect(await Promise.all([0, 1, 2, 3].map(async (i) => (await dataset.get(i)).label))).toEqual([0, 0, 1, 1])
})

test('a random order stays within a shard where the buffer is small', async () => {
  const small = await WebDataset.open({ shards, shuffleBuffer: 1 })
  const order = Array.from(small.shuffled(7, 0))
  expect(order.toSorted()).toEqual([0, 1, 2, 3, 4, 5])
  expect(order.map((i) => Math.floor(i / 2)).filter((shard, i, all) => shard !== all[i - 1])).toHaveLength(3)
  expect(Array.from(small.shuffled(7, 1))).not.toEqual(order)
})

describe('what cannot be read', () => {
  const failing = async (shard: string | ReturnType<typeof memorySource>, options = {}, row?: number) =>
    (await WebDataset.open({ shards: [shard], ...options })
      .then(async (dataset) => (row === undefined ? undefined : await dataset.get(row)))
      .catch((reason: unknown) => reason)) as { code: string; message: string; hint: string }

  test('missing shards, no samples', async () => {
    expect(await failing(join(containers, 'gone-{0..1}.tar'))).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/gone-0/),
    })
    expect(await failing(fixture('photos'))).toMatchObject({ message: expect.stringContaining('*.tar: no such file') })
    expect(await failing(memorySource('empty', new Uint8Array(1024)))).toMatchObject({
      message: expect.stringMatching(/no such sample/),
    })
  })

  test('an archive that is packed, cut off, or no archive', async () => {
    const bytes = await readFile(join(containers, 'shard-000.tar'))
    expect(await failing(memorySource('packed', gzipSync(bytes)))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      hint: expect.stringMatching(/gunzip/),
    })
    for (const length of [512 * 3, 5000, 9000])
      expect(await failing(memorySource('cut', bytes.subarray(0, length)))).toMatchObject({
        code: 'ERR_DATA',
        message: expect.stringContaining('cut: is cut off'),
      })
    expect(await failing(memorySource('text', new Uint8Array(2048).fill(65)))).toMatchObject({
      message: expect.stringMatching(/byte 0/),
    })
  })

  test('samples without an image or a label', async () => {
    const [shard = ''] = [join(containers, 'shard-000.tar')]
    expect(await failing(shard, { image: ['tiff'] }, 0)).toMatchObject({
      message: expect.stringMatching(/sample0: expected a file \.tiff, found \.jpg/),
    })
    expect(await failing(shard, { label: 'txt' }, 0)).toMatchObject({
      message: expect.stringContaining('expected a file .txt'),
    })
  })

  test('a sample whose files are torn apart', async () => {
    const bytes = await readFile(join(containers, 'shard-000.tar'))
    // The first member once more before the end.
    const size = 512 + Math.ceil(2527 / 512) * 512
    const content = bytes.subarray(
      0,
      bytes.findLastIndex((byte) => byte !== 0),
    )
    const end = Math.ceil(content.length / 512) * 512
    const torn = Buffer.concat([bytes.subarray(0, end), bytes.subarray(0, size), Buffer.alloc(1024)])
    expect(await failing(memorySource('torn', torn))).toMatchObject({
      message: expect.stringMatching(/do not stand together/),
    })
  })
})
