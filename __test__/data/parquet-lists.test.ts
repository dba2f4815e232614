/** Parquet columns of lists, structures and maps that pyarrow wrote, against what it was given. */
import { readFile } from 'node:fs/promises'
import type { SchemaElement, SchemaTree } from 'hyparquet'
import { describe, expect, test } from 'vitest'
import { DataLoader } from '../../src/data/data-loader.js'
import { memorySource } from '../../src/data/file.js'
import { assemble } from '../../src/data/parquet-nested.js'
import { readPage } from '../../src/data/parquet-pages.js'
import { ParquetDataset } from '../../src/data/parquet.js'
import type { Transform } from '../../src/data/transform.js'
import type { Tensor } from '../../src/tensor/index.js'
import { fixture } from './fixtures.js'
import { mutated, survives } from './mutate.js'

const transform: Transform = { steps: [{ type: 'center-crop', size: [16, 16] }, { type: 'to-image' }] }
const container = (name: string) => fixture('containers', name)
const { 'two levels': twoLevels, ...expected } = JSON.parse(await readFile(container('lists.json'), 'utf8')) as Record<
  string,
  unknown[]
>

/** int64 values come as bigints, which JSON has not. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
}

/** float32 of what was given in float64. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Math.fround(value)
  if (Array.isArray(value)) return value.map(rounded)
  return value
}

test.each(['lists', 'lists-dictionary', 'lists-version-2', 'lists-delta'])('%s.parquet', async (name) => {
  const keep = name === 'lists-delta' ? ['numbers', 'tags', 'floats'] : Object.keys(expected)
  const dataset = await ParquetDataset.open({ files: [container(`${name}.parquet`)], keep })
  expect(dataset.length).toBe(7)
  // Backwards, so that no row leans on the one before it.
  for (let i = 6; i >= 0; i--) {
    const sample = await dataset.get(i)
    expect(sample.image).toMatchObject({ encoded: Uint8Array.from(Buffer.from(`picture ${i}`)) })
    expect(sample.label).toBe(i)
    for (const column of keep) {
      const given = expected[column]![i]
      expect(plain(sample[column]), `${column} of row ${i}`).toEqual(column === 'floats' ? rounded(given) : given)
    }
  }
})

test('repeated fields without a level for the list, as older writers have them', async () => {
  const keep = ['numbers', 'words', 'arrays', 'tuples', 'plain']
  const dataset = await ParquetDataset.open({ files: [container('lists-two-levels.parquet')], keep })
  for (const [i, row] of twoLevels!.entries()) {
    const { image: _, index, ...rest } = await dataset.get(i)
    expect(plain(rest)).toEqual(row)
    expect(index).toBe(i)
  }
})

test('pages are held within the limit, and read again when they were dropped', async () => {
  const files = [container('lists.parquet')]
  const dataset = await ParquetDataset.open({ files, keep: Object.keys(expected), cacheBytes: 1 })
  for (const i of [3, 0, 6, 5, 0]) expect(plain((await dataset.get(i))['ragged'])).toEqual(expected['ragged']![i])
})

test('lists of as many numbers are a tensor of the batch, others arrays', async () => {
  const clips = await ParquetDataset.open({ files: [container('clips.parquet')] })
  const lists = await ParquetDataset.open({
    files: [container('lists.parquet')],
    keep: ['grid', 'vector', 'numbers', 'boxes'],
  })
  const dataset = {
    name: 'lists',
    length: 7,
    get: async (i: number) => ({ ...(await lists.get(i)), image: ((await clips.get(0)).image as never)[0] }),
  }
  const loader = new DataLoader({ dataset: dataset as never, batchSize: 7, transform })
  for await (const batch of loader) {
    const grid = batch['grid'] as Tensor
    expect([grid.shape, grid.dtype]).toEqual([[7, 3, 2], 'float32'])
    expect(Array.from((await grid.data()) as Float32Array)).toEqual(expected['grid']!.flat(2))
    expect((batch['vector'] as Tensor).shape).toEqual([7, 3])
    expect(plain(batch['numbers'])).toEqual(expected['numbers'])
    expect(plain(batch['boxes'])).toEqual(expected['boxes'])
  }
})

test('a list of images in a row is a clip', async () => {
  const dataset = await ParquetDataset.open({ files: [container('clips.parquet')] })
  expect(dataset.columns).toMatchObject({ kind: 'clip', label: 'label' })
  const [first, second] = [(await dataset.get(0)).image, (await dataset.get(1)).image] as { encoded: Uint8Array }[][]
  expect(first!.map(({ encoded }) => encoded)).toEqual(second!.map(({ encoded }) => encoded).reverse())
  const loader = new DataLoader({ dataset, batchSize: 2, transform })
  for await (const { image } of loader) expect(image!.shape).toEqual([2, 2, 3, 16, 16])
})

test('pixels in lists are images: grey, channels behind or in front', async () => {
  const open = (image: string) => ParquetDataset.open({ files: [container('pixels.parquet')], image })
  const behind = await open('behind')
  expect(behind.columns.kind).toBe('pixels')
  const grey = (await (await open('grey')).get(1)).image
  expect(grey).toEqual({ pixels: Uint8Array.from({ length: 20 }, (_, i) => 20 + i), offset: 0, height: 4, width: 5, channels: 1 }) // prettier-ignore
  const color = (await behind.get(1)).image
  expect(color).toEqual({ pixels: Uint8Array.from({ length: 60 }, (_, i) => 60 + i), offset: 0, height: 4, width: 5, channels: 3 }) // prettier-ignore
  expect((await (await open('front')).get(1)).image).toEqual(color)
  const [found] = [await ParquetDataset.open({ files: [container('lists.parquet')], image: 'grid' })]
  await expect(found.get(1)).rejects.toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining('levels 0..255, found lists of 3 x 2') }) // prettier-ignore
})

describe('levels', () => {
  const node = (
    name: string,
    repetition: SchemaElement['repetition_type'],
    children: SchemaTree[] = [],
    list = false,
  ) =>
    ({
      element: { name, repetition_type: repetition, ...(list && { converted_type: 'LIST' }) },
      children,
      count: 1,
      path: [],
    }) as SchemaTree
  const slots = (repetition: number[], definition: number[], values: (string | null)[]) => ({
    repetition,
    definition,
    values,
  })
  /** A list of lists of texts, all of it required but the lists' being there. */
  const column = node('a', 'REPEATED', [node('b', 'REPEATED')])
  const pair = node('p', 'REPEATED', [node('x', 'REQUIRED'), node('y', 'OPTIONAL')])

  test('repetition tells which list goes on', () => {
    // [[a, b, c], [d, e, f, g]] and [[h], [i, j]] of the Dremel paper's kind of example.
    const first = slots([0, 2, 2, 1, 2, 2, 2], [2, 2, 2, 2, 2, 2, 2], ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
    expect(assemble(column, [first])).toEqual([{ b: ['a', 'b', 'c'] }, { b: ['d', 'e', 'f', 'g'] }])
    expect(assemble(column, [slots([0], [0], [null])])).toEqual([])
    expect(assemble(column, [slots([0, 1], [1, 2], [null, 'a'])])).toEqual([{ b: [] }, { b: ['a'] }])
  })

  test('levels that end early, say more than a row, or differ between the leaves of a structure are refused', () => {
    expect(() => assemble(column, [slots([], [], [])])).toThrow('end too early')
    expect(() => assemble(column, [slots([0, 0], [2, 2], ['a', 'b'])])).toThrow('more than its lists hold')
    const [x, y] = [slots([0, 1], [1, 1], ['a', 'b']), slots([0, 1], [2, 1], ['c', null])]
    expect(assemble(pair, [x, y])).toEqual([
      { x: 'a', y: 'c' },
      { x: 'b', y: null },
    ])
    expect(() => assemble(pair, [x, slots([0], [2], ['c'])])).toThrow('disagree')
    expect(() => assemble(pair, [x, slots([0], [0], [null])])).toThrow('disagree')
  })
})

test.each(['lists', 'lists-dictionary', 'lists-version-2', 'lists-delta', 'lists-two-levels', 'clips'])(
  'damaged %s.parquet: an error with a code or samples',
  { timeout: 60_000 },
  async (name) => {
    const bytes = await readFile(container(`${name}.parquet`))
    const keep = ['lists', 'lists-dictionary', 'lists-version-2'].includes(name)
      ? Object.keys(expected)
      : name === 'clips'
        ? []
        : ['numbers']
    const { read, refused } = await survives(mutated(bytes, 200, 15), async (version) => {
      const dataset = await ParquetDataset.open({ files: [memorySource(name, version)], keep })
      for (let i = 0; i < Math.min(dataset.length, 20); i++) await dataset.get(i)
    })
    expect(read + refused).toBe(200)
    expect(refused).toBeGreaterThan(20)
  },
)

test('a page that claims more values than rows or bytes allow is refused before memory is taken', async () => {
  // Both levels in one run each: two thousand million values of one list that is not there.
  const page = Uint8Array.from([
    6, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 6, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0,
  ])
  const read = (count: number) => {
    const header = {
      type: 'DATA_PAGE',
      compressed_page_size: page.length,
      uncompressed_page_size: page.length,
      data_page_header: { num_values: count, encoding: 'PLAIN' },
    }
    const chunk = {
      meta: { codec: 'UNCOMPRESSED', type: 'INT32', path_in_schema: ['a'] },
      levels: { definition: 2, repetition: 1 },
      text: false,
      rows: 3,
    }
    const place = { header, offset: 0, first: 0, rows: 3 }
    return readPage(memorySource('page', page), chunk as never, place as never, undefined)
  }
  await expect(read(2 ** 31)).rejects.toThrow(`page: column a is damaged (${2 ** 31} values in a page)`)
  await expect(read(4)).rejects.toThrow('4 rows, not 3')
  expect((await read(3)).values).toEqual([null, null, null])
})
