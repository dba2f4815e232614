/** Parquet files written by pyarrow, against what was put into them and against hyparquet's own reader. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { parquetReadObjects } from 'hyparquet'
import { describe, expect, test } from 'vitest'
import { memorySource } from '../../src/data/file.js'
import { readHybrid, unpack, unpackSnappy } from '../../src/data/parquet-codecs.js'
import { deltaValues } from '../../src/data/parquet-delta.js'
import { ParquetDataset } from '../../src/data/parquet.js'
import type { EncodedImage } from '../../src/data/sample.js'
import { fixture } from './fixtures.js'

const container = (name: string) => fixture('containers', name)
const expected = JSON.parse(await readFile(container('expected.json'), 'utf8')) as {
  classes: string[]
  labels: number[]
  sha256: string[]
  weight: (number | null)[]
  caption: (string | null)[]
  flag: boolean[]
}
const digest = (image: unknown) =>
  createHash('sha256')
    .update((image as EncodedImage).encoded)
    .digest('hex')

test.each(['hub', 'version-2', 'pages', 'none', 'gzip', 'zstd', 'brotli', 'lz4', 'bytes'])(
  '%s.parquet',
  async (name) => {
    const keep = name === 'bytes' ? [] : ['weight', 'caption', 'flag']
    const dataset = await ParquetDataset.open({ files: [container(`${name}.parquet`)], keep })
    expect(dataset.length).toBe(['hub', 'version-2', 'pages', 'bytes'].includes(name) ? 6 : 2)
    expect(dataset.classes).toEqual(name === 'bytes' ? undefined : expected.classes)
    for (let i = dataset.length - 1; i >= 0; i--) {
      const { image, label, index, ...rest } = await dataset.get(i)
      expect([digest(image), label, index]).toEqual([expected.sha256[i], expected.labels[i], i])
      const { weight, caption, flag } = expected
      expect(rest).toEqual(keep.length === 0 ? {} : { weight: weight[i], caption: caption[i], flag: flag[i] })
    }
  },
)

test('values written as differences, lengths, shared beginnings and split bytes', async () => {
  const dataset = await ParquetDataset.open({
    files: [container('delta.parquet')],
    keep: ['weight', 'caption', 'small'],
  })
  const small = [3, -7, 2 ** 31 - 1, -(2 ** 31), 0, 5]
  for (let i = 0; i < 6; i++) {
    const { image, label, ...rest } = await dataset.get(i)
    expect([digest(image), label]).toEqual([expected.sha256[i], expected.labels[i]])
    expect(rest).toEqual({ weight: expected.weight[i], caption: expected.caption[i], small: small[i], index: i })
  }
  const many = await ParquetDataset.open({
    files: [container('delta-blocks.parquet')],
    label: null,
    keep: ['label', 'name'],
  })
  let sum = 0
  for (let i = 0; i < 1000; i++) {
    sum += (i % 37) - 18
    expect(await many.get(i)).toMatchObject({ label: BigInt(sum * 1e6), name: `flower-${Math.floor(i / 10)}-${i}` })
  }
})

test('the same values as hyparquet reads', async () => {
  const bytes = await readFile(container('hub.parquet'))
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer
  const rows = await parquetReadObjects({
    file: { byteLength: file.byteLength, slice: (a, b) => file.slice(a, b) },
    utf8: false,
  })
  const dataset = await ParquetDataset.open({ files: [memorySource('hub', bytes)] })
  for (const [i, row] of rows.entries()) {
    const { image, label } = await dataset.get(i)
    expect((image as EncodedImage).encoded).toEqual((row['image'] as { bytes: Uint8Array }).bytes)
    expect(BigInt(label as number)).toBe(row['label'])
  }
})

test('several files are one data set; a random order visits each row once and depends on seed and epoch', async () => {
  const files = ['hub.parquet', 'version-2.parquet', 'none.parquet'].map(container)
  // Room for one row group at a time.
  const dataset = await ParquetDataset.open({ files, cacheBytes: 1 })
  expect(dataset.length).toBe(14)
  expect(digest((await dataset.get(12)).image)).toBe(expected.sha256[0])
  const order = Array.from(dataset.shuffled(3, 1))
  expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 14 }, (_, i) => i))
  expect(Array.from(dataset.shuffled(3, 1))).toEqual(order)
  expect(Array.from(dataset.shuffled(3, 2))).not.toEqual(order)
  // Row groups of 4, 2, 4, 2 and 2 rows stay together.
  const groups = [0, 4, 6, 10, 12, 14]
  const groupOf = (row: number) => groups.findLastIndex((start) => start <= row)
  const visits = order.map(groupOf).filter((group, i, all) => group !== all[i - 1])
  expect(visits).toHaveLength(5)
  const mixed = await ParquetDataset.open({ files })
  expect(
    new Set(
      Array.from(mixed.shuffled(3, 1))
        .map(groupOf)
        .filter((g, i, all) => g !== all[i - 1]),
    ).size,
  ).toBe(5)
})

test('memory for pages stays within the limit', async () => {
  let read = 0
  const bytes = await readFile(container('pages.parquet'))
  const memory = memorySource('pages', bytes)
  const source = { ...memory, read: (begin: number, length: number) => ((read += length), memory.read(begin, length)) }
  const dataset = await ParquetDataset.open({ files: [source], cacheBytes: 2 ** 20 })
  for (let i = 0; i < 6; i++) await dataset.get(i)
  const once = read
  for (let i = 0; i < 6; i++) await dataset.get(i)
  expect(read).toBe(once) // all is held
  const tight = await ParquetDataset.open({ files: [source], cacheBytes: 4000 })
  for (let i = 0; i < 6; i++) await tight.get(i)
  const [before] = [read]
  await tight.get(0)
  expect(read).toBeGreaterThan(before)
})

describe('what cannot be read', () => {
  const failing = async (options: Parameters<typeof ParquetDataset.open>[0], row?: number) => {
    const error = await ParquetDataset.open(options)
      .then(async (dataset) => (row === undefined ? undefined : await dataset.get(row)))
      .catch((reason: unknown) => reason)
    return error as { code: string; message: string; hint: string }
  }

  test('missing files and columns, rows without bytes, lists', async () => {
    const hub = container('hub.parquet')
    expect(await failing({ files: [container('gone.parquet')] })).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/gone/),
    })
    expect(await failing({ files: [hub], image: 'picture' })).toMatchObject({
      message: expect.stringContaining('no column "picture"'),
      hint: expect.stringContaining('image, label, weight'),
    })
    expect(await failing({ files: [hub], image: 'weight' })).toMatchObject({
      message: expect.stringContaining('no bytes'),
    })
    expect(await failing({ files: [hub], label: 'tags' }, 2)).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('found ["y","z"]'),
    })
    for (const row of [0, 1])
      expect(await failing({ files: [container('path-only.parquet')] }, row)).toMatchObject({
        code: 'ERR_DATA',
        hint: expect.stringContaining('manifest'),
      })
    expect(await failing({ files: [hub], classes: ['daisy'] }, 5)).toMatchObject({
      message: expect.stringContaining('label'),
    })
  })

  test('text, an empty file, half a file', async () => {
    const bytes = await readFile(container('hub.parquet'))
    for (const damaged of [
      new Uint8Array(0),
      new TextEncoder().encode('a,b\n1,2\n3,4\n'),
      bytes.subarray(0, bytes.length / 2),
    ])
      expect(await failing({ files: [memorySource('half', damaged)] })).toMatchObject({
        code: 'ERR_DATA',
        message: expect.stringContaining('half: expected a whole Parquet file'),
      })
  })
})

describe('packed values', () => {
  const hybrid = (bytes: number[], width: number, count: number) =>
    Array.from(readHybrid(Uint8Array.from(bytes), 0, width, count))

  test('runs and packed groups, as the format’s own example', () => {
    // 0 to 7 in three bits each: 10001000 11000110 11111010.
    expect(hybrid([0b11, 0b10001000, 0b11000110, 0b11111010], 3, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(hybrid([10 << 1, 1, 4 << 1, 0], 1, 14)).toEqual([...Array<number>(10).fill(1), 0, 0, 0, 0])
    expect(hybrid([6 << 1, 0x34, 0x12], 16, 5)).toEqual(Array(5).fill(0x1234))
  })

  test('lengths that lie are refused before memory is taken', () => {
    // A run of two thousand million values where ten are wanted fills ten.
    expect(hybrid([0xfe, 0xff, 0xff, 0xff, 0x0f, 1], 1, 10)).toEqual(Array(10).fill(1))
    expect(() => hybrid([0xff, 0xff, 0xff, 0xff, 0x0f], 8, 10)).toThrow('beyond its page')
    expect(() => hybrid([0, 1], 1, 10)).toThrow('empty run')
    expect(() => hybrid([2], 8, 1)).toThrow('beyond its page')
    expect(() => hybrid([], 8, 1)).toThrow('beyond its page')
    expect(() => unpackSnappy(Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x07]), 10)).toThrow('header says 10')
  })

  test('differences whose header lies are refused before memory is taken', () => {
    const page = (bytes: number[], count: number, encoding = 'DELTA_BINARY_PACKED', type = 'INT32') =>
      deltaValues(Uint8Array.from(bytes), { encoding, count, type, text: false })
    // Blocks of 128 in 4 parts, 3 values: 5, then +1 each.
    expect(page([0x80, 1, 4, 3, 10, 2, 0, 0, 0, 0], 3)).toEqual([5, 6, 7])
    expect(() => page([0xff, 0xff, 0xff, 0xff, 0x0f, 4, 3, 10], 3)).toThrow('blocks of')
    expect(() => page([0x80, 1, 0, 3, 10], 3)).toThrow('in 0 parts')
    expect(() => page([0x80, 1, 4, 4, 10, 2, 0, 0, 0, 0], 3)).toThrow('4 differences for 3')
    expect(() => page([0x80, 1, 4, 0xc0, 0x84, 0x3d, 10, 2, 0], 1_000_000)).toThrow('1000000 differences in')
    expect(() => page([0x80, 1, 4, 3, 10, 2], 3)).toThrow('outside the bounds')
    // One text of 100 bytes, of which 3 are there; one that shares 9 bytes with nothing.
    expect(() => page([0x80, 1, 4, 1, 0xc8, 1, 1, 2, 3], 1, 'DELTA_LENGTH_BYTE_ARRAY', 'BYTE_ARRAY')).toThrow(
      'beyond its page',
    )
    expect(() => page([0x80, 1, 4, 1, 18, 0x80, 1, 4, 1, 0], 1, 'DELTA_BYTE_ARRAY', 'BYTE_ARRAY')).toThrow(
      '9 bytes shared',
    )
  })

  test('Snappy: literals, near and far copies', () => {
    const text = 'abcdefgh'.repeat(40)
    const literal = [...new TextEncoder().encode('abcdefgh')]
    // Length 320, eight literal bytes, then copies of 64 bytes from eight back, in the form of two and of four bytes.
    const copies = [0, 1, 2, 3].flatMap(() => [(63 << 2) | 2, 8, 0])
    const last = [(55 << 2) | 3, 8, 0, 0, 0]
    const packed = Uint8Array.from([0xc0, 0x02, 7 << 2, ...literal, ...copies, ...last])
    expect(new TextDecoder().decode(unpackSnappy(packed, 320))).toBe(text)
    expect(() => unpackSnappy(packed.subarray(0, 20), 320)).toThrow(/Snappy|beyond/)
    expect(() => unpackSnappy(Uint8Array.from([4, (3 << 2) | 2, 1, 0]), 4)).toThrow('copy beyond')
  })

  test('a page that claims more than a gibibyte', async () => {
    await expect(unpack('ZSTD', new Uint8Array(4), 2 ** 31, 'x')).rejects.toThrow('a page of')
    await expect(unpack('LZO', new Uint8Array(4), 4, 'x')).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' })
  })
})
