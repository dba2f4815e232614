/** IDX files: real ones are read whole, damaged ones are refused with what was expected and found. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { errorCode } from '../../src/errors.js'
import { parseIdx, readIdx, readIdxDataset } from '../../src/data/idx.js'
import { fixture, temporaryFolder, written } from './fixtures.js'

const images = fixture('fashion-mnist', 't10k-images-idx3-ubyte.gz')
const labels = fixture('fashion-mnist', 't10k-labels-idx1-ubyte')
const folder = await temporaryFolder()

describe('Fashion-MNIST', () => {
  test('is read from a packed and an unpacked file', async () => {
    const dataset = await readIdxDataset({ images, labels })
    expect(dataset).toMatchObject({ length: 64, width: 28, height: 28, channels: 1 })
    // Taken from the files by another program.
    expect(Array.from({ length: 10 }, (_, i) => dataset.get(i).label)).toEqual([9, 2, 1, 1, 6, 1, 4, 6, 5, 7])
    expect(createHash('sha256').update(dataset.pixels).digest('hex')).toBe(
      '98eadbe7918b0c6e37a4ac395b98e4ebeb0094650032fec831a84a65cf60a689',
    )
    const { image, index } = dataset.get(3)
    expect(image).toEqual({ pixels: dataset.pixels, offset: 3 * 784, width: 28, height: 28, channels: 1 })
    expect(index).toBe(3)
  })

  test('labels beyond the named classes are refused', async () => {
    const read = readIdxDataset({ images, labels, classes: ['a', 'b', 'c'] })
    await expect(read).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${labels}: expected labels in 0..2, found 9 at position 0`,
    })
  })

  test('swapped files are noticed', async () => {
    await expect(readIdxDataset({ images: labels, labels: images })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('expected images, uint8 [count, height, width], found uint8 [64]'),
      hint: expect.stringContaining('swapped'),
    })
  })

  test('as many labels as images are needed', async () => {
    const bytes = await readFile(labels)
    const fewer = Buffer.concat([bytes.subarray(0, 7), Buffer.from([60]), bytes.subarray(8, 68)])
    const path = await written(folder, 'fewer', fewer)
    await expect(readIdxDataset({ images, labels: path })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${path}: expected 64 labels, as many as images in ${images}, found 60`,
    })
  })
})

describe('a damaged file', () => {
  test('missing', async () => {
    await expect(readIdx(fixture('nowhere'))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${fixture('nowhere')}: no such file`,
    })
  })

  test('packed and cut short', async () => {
    const path = await written(folder, 'cut.gz', (await readFile(images)).subarray(0, 5000))
    await expect(readIdx(path)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(
        /cut\.gz: expected a whole gzip file, found one that cannot be unpacked \(.*end of file/,
      ),
    })
  })

  test('packed, with a flipped bit', async () => {
    const bytes = await readFile(images)
    bytes[4000] = (bytes[4000] as number) ^ 8
    await expect(readIdx(await written(folder, 'flipped.gz', bytes))).rejects.toMatchObject({ code: 'ERR_DATA' })
  })

  test('cut short after unpacking', async () => {
    const whole = gunzipSync(await readFile(images))
    const path = await written(folder, 'short.gz', gzipSync(whole.subarray(0, whole.length - 100)))
    await expect(readIdx(path)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `${path}: expected 50176 bytes after the header, which says uint8 [64, 28, 28], found 50076`,
    })
  })

  test.each([
    ['empty', [], 'expected an IDX header of at least 4 bytes, found 0 bytes'],
    ['something else', [0x89, 0x50, 0x4e, 0x47, 1, 2], 'found the first bytes 89 50 4e 47'],
    ['of an unknown type', [0, 0, 0x0a, 1, 0, 0, 0, 0], 'a type of 08 09 0b 0c 0d 0e'],
    ['without sizes', [0, 0, 8, 0], 'expected an IDX header with 0 sizes'],
    [
      'with a header cut short',
      [0, 0, 8, 3, 0, 0, 0, 1],
      'expected an IDX header with 3 sizes, 16 bytes, found 8 bytes',
    ],
    ['with sizes beyond any memory', [0, 0, 8, 3, ...Array<number>(12).fill(255), 1], 'found 1'],
    [
      'with bytes left over',
      [0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3],
      'expected 2 bytes after the header, which says uint8 [2], found 3',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => parseIdx(Uint8Array.from(bytes), 'file.idx')).toThrow(
      expect.objectContaining({ code: 'ERR_DATA', message: expect.stringMatching(/^file\.idx: /) }),
    )
    expect(() => parseIdx(Uint8Array.from(bytes), 'file.idx')).toThrow(message)
  })

  test('no byte of the header can be changed unnoticed', async () => {
    const whole = gunzipSync(await readFile(images))
    const accepted: string[] = []
    for (let place = 0; place < 16; place++) {
      for (const change of [1, 2, 4, 8, 16, 32, 64, 128]) {
        const lying = Buffer.from(whole)
        lying[place] = (lying[place] as number) ^ change
        if (accepts(lying)) accepted.push(`byte ${place} xor ${change}`)
      }
    }
    // int8 has the size of uint8: the one lie that only the reader of images can notice.
    expect(accepted).toEqual(['byte 2 xor 1'])
  })
})

function accepts(bytes: Uint8Array): boolean {
  try {
    parseIdx(bytes, 'lying.idx')
    return true
  } catch (error) {
    if (errorCode(error) !== 'ERR_DATA') throw error
    return false
  }
}

test('every element type is read, big-endian', () => {
  const read = (type: number, ...bytes: number[]) =>
    parseIdx(Uint8Array.from([0, 0, type, 1, 0, 0, 0, 1, ...bytes]), 'x').data[0]
  expect(read(0x08, 200)).toBe(200)
  expect(read(0x09, 200)).toBe(-56)
  expect(read(0x0b, 0xff, 0xfe)).toBe(-2)
  expect(read(0x0c, 0, 1, 0, 2)).toBe(65538)
  expect(read(0x0d, 0x3f, 0xc0, 0, 0)).toBe(1.5)
  expect(read(0x0e, 0xc0, 0x04, 0, 0, 0, 0, 0, 0)).toBe(-2.5)
})
