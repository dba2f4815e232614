/** Mean and standard deviation of data sets against plain loops over their pixels. */
import { describe, expect, test } from 'vitest'
import { readIdxDataset } from '../../src/data/idx.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import { measureStatistics } from '../../src/data/measure.js'
import type { Dataset, EncodedImage } from '../../src/data/sample.js'
import { decodeImage } from '../../src/native.js'
import { fixture } from './fixtures.js'

const photos = await ImageFolderDataset.open(fixture('photos'))
const clothes = await readIdxDataset({ images: fixture('fashion-mnist', 't10k-images-idx3-ubyte.gz') })

test('grey images of one size: one value', async () => {
  const pixels = Array.from(clothes.pixels, (byte) => byte / 255)
  const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length
  const variance = pixels.reduce((sum, value) => sum + (value - mean) ** 2, 0) / pixels.length
  const found = await measureStatistics(clothes)
  expect(found).toMatchObject({ images: 64, failed: 0, width: [28, 28], height: [28, 28] })
  expect(found.mean).toEqual([expect.closeTo(mean, 10)])
  expect(found.std).toEqual([expect.closeTo(Math.sqrt(variance), 10)])
})

test('photos of different sizes count alike', async () => {
  const sums = [0, 0, 0]
  const squares = [0, 0, 0]
  for (let i = 0; i < photos.length; i++) {
    const { data, width, height } = await decodeImage(((await photos.get(i)).image as EncodedImage).encoded)
    data.forEach((byte, at) => {
      sums[at % 3]! += byte / 255 / (width * height) / photos.length
      squares[at % 3]! += (byte / 255) ** 2 / (width * height) / photos.length
    })
  }
  const { mean, std, images } = await measureStatistics(photos)
  expect(images).toBe(18)
  for (let c = 0; c < 3; c++) {
    expect(mean[c]).toBeCloseTo(sums[c] as number, 10)
    expect(std[c]).toBeCloseTo(Math.sqrt((squares[c] as number) - (sums[c] as number) ** 2), 10)
  }
})

describe('images that cannot be read', () => {
  const broken = (bad: (index: number) => boolean): Dataset => ({
    name: 'broken',
    length: 18,
    get: (index) => (bad(index) ? { image: { encoded: new Uint8Array(9) }, index } : photos.get(index)),
  })

  test('are counted and left out; a part of the images is spread evenly', async () => {
    expect(await measureStatistics(broken((index) => index % 9 === 0))).toMatchObject({ images: 16, failed: 2 })
    const asked: number[] = []
    const told: number[] = []
    const dataset: Dataset = { name: 'x', length: 18, get: (index) => (asked.push(index), photos.get(index)) }
    await measureStatistics(dataset, { limit: 6, onProgress: (done) => told.push(done) })
    expect(asked).toEqual([0, 3, 6, 9, 12, 15])
    expect(told).toEqual([6])
  })

  test('all of them: an error that says why', async () => {
    await expect(measureStatistics(broken(() => true))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/broken: no image could be read .*unknown format/),
    })
  })
})
