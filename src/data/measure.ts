/** Mean and standard deviation of the channels of a data set's images, computed over all of them, one after the other. */
import { SptError, errorCode, reason } from '../errors.js'
import { decodeImage } from '../native.js'
import { type Dataset, type ImageSource, isEncoded, pictureOf } from './sample.js'
import type { Statistics } from './statistics.js'

export interface MeasuredStatistics extends Statistics {
  /** Images that were read. */
  readonly images: number
  /** Images that could not be. */
  readonly failed: number
  /** Smallest and largest width and height in pixels. */
  readonly width: readonly [least: number, most: number]
  readonly height: readonly [least: number, most: number]
}

export interface MeasureOptions {
  /** Only so many images, evenly spread over the data set. */
  readonly limit?: number | undefined
  readonly onProgress?: (done: number, of: number) => void
}

/** Images decoded at once. */
const together = 8

/**
 * Each image counts alike whatever its size, as it does once all are cut to one; a value a channel, for pixels scaled to [0, 1].
 * A single value where all images are grey. ERR_DATA where none could be read.
 */
export async function measureStatistics(
  dataset: Dataset,
  { limit, onProgress }: MeasureOptions = {},
): Promise<MeasuredStatistics> {
  const count = Math.min(dataset.length, limit ?? dataset.length)
  const sums = new Float64Array(3)
  const squares = new Float64Array(3)
  const sizes = { width: [Infinity, 0] as [number, number], height: [Infinity, 0] as [number, number] }
  let [images, failed, grey] = [0, 0, true]
  let failure: unknown
  for (let start = 0; start < count; start += together) {
    const places = Array.from({ length: Math.min(together, count - start) }, (_, i) =>
      Math.floor(((start + i) * dataset.length) / count),
    )
    const read = await Promise.allSettled(
      places.map(async (place) => pixelsOf(pictureOf((await dataset.get(place)).image))),
    )
    for (const result of read) {
      if (result.status === 'rejected') {
        if (!['ERR_DATA', undefined].includes(errorCode(result.reason))) throw result.reason
        failure ??= result.reason
        failed++
        continue
      }
      const { data, channels, width, height } = result.value
      const moments = momentsOf(data, channels)
      for (let c = 0; c < 3; c++) {
        sums[c]! += moments.mean[c % channels] as number
        squares[c]! += moments.square[c % channels] as number
      }
      grey &&= channels === 1 || moments.grey
      sizes.width = [Math.min(sizes.width[0], width), Math.max(sizes.width[1], width)]
      sizes.height = [Math.min(sizes.height[0], height), Math.max(sizes.height[1], height)]
      images++
    }
    onProgress?.(Math.min(count, start + together), count)
  }
  if (images === 0) throw new SptError('ERR_DATA', `${dataset.name}: no image could be read (${reason(failure)})`)
  const channels = grey ? 1 : 3
  const mean = Array.from(sums.subarray(0, channels), (sum) => sum / images)
  const std = mean.map((value, c) => Math.sqrt(Math.max(0, (squares[c] as number) / images - value * value)))
  return { mean, std, images, failed, ...sizes }
}

interface Pixels {
  readonly data: Uint8Array
  readonly channels: number
  readonly width: number
  readonly height: number
}

async function pixelsOf(image: ImageSource): Promise<Pixels> {
  if (isEncoded(image)) return { channels: 3, ...(await decodeImage(image.encoded)) }
  const { pixels, offset, width, height, channels } = image
  return { data: pixels.subarray(offset, offset + width * height * channels), channels, width, height }
}

/** Of one image, for pixels scaled to [0, 1]: sums of bytes and of their squares are exact in doubles. */
function momentsOf(data: Uint8Array, channels: number): { mean: number[]; square: number[]; grey: boolean } {
  const sums = new Float64Array(channels)
  const squares = new Float64Array(channels)
  let grey = true
  for (let i = 0; i < data.length; i += channels) {
    for (let c = 0; c < channels; c++) {
      const value = data[i + c] as number
      sums[c]! += value
      squares[c]! += value * value
    }
    if (channels === 3) grey &&= data[i] === data[i + 1] && data[i] === data[i + 2]
  }
  const pixels = data.length / channels
  return {
    mean: Array.from(sums, (sum) => sum / pixels / 255),
    square: Array.from(squares, (sum) => sum / pixels / 255 ** 2),
    grey,
  }
}
