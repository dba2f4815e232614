/** The CIFAR binary layout, with real photos in it; damaged files are refused. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { readCifar } from '../../src/data/cifar.js'
import { fixture, temporaryFolder, written } from './fixtures.js'

const photos = fixture('photos-cifar10-layout.bin')
const layout = { labelBytes: 1, labelByte: 0, classes: ['daisy', 'roses', 'tulips'], name: 'photos' }
const folder = await temporaryFolder()

test('planes become interleaved pixels', async () => {
  const dataset = await readCifar({ ...layout, files: [photos] })
  expect(dataset).toMatchObject({ length: 9, width: 32, height: 32, channels: 3, classes: layout.classes })
  expect(Array.from({ length: 9 }, (_, i) => dataset.get(i).label)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2])
  // Pixels of the same photos as another program has them: corner, last, and row 10 column 20 of the first.
  expect([...dataset.pixels.subarray(0, 3)]).toEqual([138, 135, 127])
  expect([...dataset.pixels.subarray(3069, 3072)]).toEqual([47, 21, 77])
  expect([...dataset.pixels.subarray(3 * (10 * 32 + 20), 3 * (10 * 32 + 20) + 3)]).toEqual([119, 140, 175])
  expect(createHash('sha256').update(dataset.pixels).digest('hex')).toBe(
    '27c914cdcb262cc8de25dda9aa85d3a8cb1a1c6194462e32503a11f6d7f1417f',
  )
})

test('several files, packed or not, come one after another', async () => {
  const packed = await written(folder, 'packed.bin.gz', gzipSync(await readFile(photos)))
  const once = await readCifar({ ...layout, files: [photos] })
  const twice = await readCifar({ ...layout, files: [packed, photos] })
  expect(twice.length).toBe(18)
  expect(Buffer.compare(twice.pixels.subarray(0, once.pixels.length), once.pixels)).toBe(0)
  expect(Buffer.compare(twice.pixels.subarray(once.pixels.length), once.pixels)).toBe(0)
})

test('two label bytes, as in CIFAR-100', async () => {
  const records = await readFile(photos)
  const first = records.subarray(0, 3073)
  const path = await written(folder, 'hundred.bin', Buffer.concat([Buffer.from([7, 42]), first.subarray(1)]))
  const classes = Array.from({ length: 100 }, (_, i) => `class ${i}`)
  const fine = await readCifar({ files: [path], labelBytes: 2, labelByte: 1, classes, name: 'fine' })
  const coarse = await readCifar({ files: [path], labelBytes: 2, labelByte: 0, classes, name: 'coarse' })
  expect([fine.get(0).label, coarse.get(0).label]).toEqual([42, 7])
  expect([...fine.pixels.subarray(0, 3)]).toEqual([138, 135, 127])
})

describe('a damaged file', () => {
  test('cut short', async () => {
    const path = await written(folder, 'cut.bin', (await readFile(photos)).subarray(0, 10_000))
    await expect(readCifar({ ...layout, files: [photos, path] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${path}: expected whole records of 3073 bytes, found 10000 bytes (3.254 records)`,
    })
  })

  test('empty', async () => {
    const path = await written(folder, 'empty.bin', new Uint8Array())
    await expect(readCifar({ ...layout, files: [path] })).rejects.toMatchObject({ code: 'ERR_DATA' })
  })

  test('of the other layout', async () => {
    const bytes = await readFile(photos)
    bytes[3 * 3073] = 200
    const path = await written(folder, 'label.bin', bytes)
    await expect(readCifar({ ...layout, files: [path] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${path}: expected labels in 0..2, found 200 in record 3`,
    })
  })

  test('missing', async () => {
    await expect(readCifar({ ...layout, files: ['/no/such.bin'] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: '/no/such.bin: no such file',
    })
  })
})
