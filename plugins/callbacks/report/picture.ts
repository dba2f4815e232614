/** Pictures as data URIs: encoded files are passed through, raw pixels become PNG. Resizes nothing. */
import { crc32, deflateSync } from 'node:zlib'
import type { ImageSource } from 'stable-pretraining'

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)

/** A `data:` URI of an image as the data set holds it. */
export function dataUri(image: ImageSource): string {
  if ('encoded' in image)
    return `data:${mediaType(image.encoded)};base64,${Buffer.from(image.encoded).toString('base64')}`
  const { pixels, offset, width, height, channels } = image
  const bytes = encodePng(pixels.subarray(offset, offset + width * height * channels), width, height, channels)
  return `data:image/png;base64,${bytes.toString('base64')}`
}

/**
 * PNG of 8-bit pixels in [height, width, channels] order; 1 channel is grey, 3 RGB, 4 RGBA (PNG specification, third
 * edition, §11). Every row uses filter 0, which deflate handles well enough for thumbnails.
 */
export function encodePng(pixels: Uint8Array, width: number, height: number, channels: number): Buffer {
  const colourType = { 1: 0, 3: 2, 4: 6 }[channels]
  if (colourType === undefined || pixels.length !== width * height * channels) {
    throw new RangeError(`no PNG of ${pixels.length} bytes as ${height}x${width} pixels of ${channels} channels`)
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, colourType, 0, 0, 0], 8)
  const stride = width * channels
  const rows = Buffer.alloc((stride + 1) * height)
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1)
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const frame = Buffer.alloc(body.length + 8)
  frame.writeUInt32BE(data.length, 0)
  frame.set(body, 4)
  frame.writeUInt32BE(crc32(body), body.length + 4)
  return frame
}

/** From the first bytes of the file, never from its name. */
function mediaType(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 'image/jpeg'
  if (bytes[0] === 0x52 && bytes[8] === 0x57) return 'image/webp'
  return 'image/png'
}
