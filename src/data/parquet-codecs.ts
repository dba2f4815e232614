/**
 * How Parquet packs its pages: compression and runs of small numbers. Each length comes from the file and is checked before
 * memory is taken for it. Source: Apache Parquet's format documents, "Compression" and "Encodings"; Snappy's "format_description".
 */
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { unsupported } from '../errors.js'

/** A page of more bytes than this is taken for a lie. */
const largestPage = 2 ** 30

/** Reading broke off; `parquet-pages` says in which file. */
export class Malformed extends Error {}

/** `size` bytes out of a packed page. */
export async function unpack(codec: string, packed: Uint8Array, size: number, path: string): Promise<Uint8Array> {
  if (size < 0 || size > largestPage) throw new Malformed(`a page of ${size} bytes`)
  const unpacked = await unpackBy(codec, packed, size, path)
  if (unpacked.length !== size) throw new Malformed(`a page of ${unpacked.length} bytes, its header says ${size}`)
  return unpacked
}

async function unpackBy(codec: string, packed: Uint8Array, size: number, path: string): Promise<Uint8Array> {
  const options = { maxOutputLength: Math.max(1, size) }
  switch (codec) {
    case 'UNCOMPRESSED':
      return packed
    case 'SNAPPY':
      return unpackSnappy(packed, size)
    case 'GZIP':
      return promisify(zlib.gunzip)(packed, options)
    case 'BROTLI':
      return promisify(zlib.brotliDecompress)(packed, options)
    case 'ZSTD':
    case 'LZ4':
    case 'LZ4_RAW': {
      const { decompressLz4, decompressLz4Raw, decompressZstd } = await import('hyparquet-compressors')
      if (codec === 'LZ4') return decompressLz4(packed, size)
      if (codec === 'LZ4_RAW') return decompressLz4Raw(packed, size)
      return decompressZstd(packed, new Uint8Array(size))
    }
    default:
      throw unsupported(path, `columns compressed by ${codec} cannot be read`, 'Write the file with snappy or zstd.')
  }
}

/** Photos hardly shrink, so that most of a page are literals: those are copied whole. */
export function unpackSnappy(packed: Uint8Array, size: number): Uint8Array {
  const [stated, start] = varint(packed, 0)
  if (stated !== size) throw new Malformed(`a Snappy block of ${stated} bytes, the page's header says ${size}`)
  const output = new Uint8Array(size)
  let [at, end] = [start, 0]
  while (at < packed.length) {
    const tag = packed[at++] as number
    if ((tag & 3) === 0) {
      let length = (tag >>> 2) + 1
      if (length > 60) {
        const bytes = length - 60
        length = littleEndian(packed, at, bytes) + 1
        at += bytes
      }
      if (at + length > packed.length || end + length > size) throw new Malformed('a Snappy literal beyond its block')
      output.set(packed.subarray(at, at + length), end)
      at += length
      end += length
      continue
    }
    const wide = tag & 3
    const length = wide === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    const bytes = wide === 1 ? 1 : wide === 2 ? 2 : 4
    const distance = littleEndian(packed, at, bytes) + (wide === 1 ? (tag >>> 5) << 8 : 0)
    at += bytes
    if (distance === 0 || distance > end || end + length > size) throw new Malformed('a Snappy copy beyond its block')
    if (distance >= length) output.copyWithin(end, end - distance, end - distance + length)
    else for (let i = 0; i < length; i++) output[end + i] = output[end + i - distance] as number
    end += length
  }
  if (end !== size) throw new Malformed(`a Snappy block of ${end} bytes, ${size} expected`)
  return output
}

/**
 * `count` numbers of `width` bits (at most 32) in Parquet's hybrid of repeated and packed runs, from `at` on in `bytes`.
 * Definition levels and places in a dictionary are written so.
 */
export function readHybrid(bytes: Uint8Array, at: number, width: number, count: number): Uint32Array {
  if (width > 32) throw new Malformed(`numbers of ${width} bits`)
  const values = new Uint32Array(count)
  let position = at
  for (let seen = 0; seen < count;) {
    const [header, next] = varint(bytes, position)
    position = next
    const runs = Math.floor(header / 2)
    if (runs === 0) throw new Malformed('an empty run')
    if (header % 2 === 0) {
      const size = Math.ceil(width / 8)
      values.fill(littleEndian(bytes, position, size), seen, Math.min(count, seen + runs))
      position += size
      seen += runs
      continue
    }
    // Groups of eight; the last may say more values than there are.
    const packed = runs * width
    const here = Math.min(runs * 8, count - seen)
    if (position + Math.ceil((here * width) / 8) > bytes.length) throw new Malformed('a run beyond its page')
    for (let i = 0; i < here; i++) values[seen + i] = bitsAt(bytes, position, i * width, width)
    position += packed
    seen += here
  }
  return values
}

function bitsAt(bytes: Uint8Array, start: number, bit: number, width: number): number {
  let value = 0
  for (let taken = 0; taken < width;) {
    const place = bit + taken
    const inByte = place % 8
    const take = Math.min(8 - inByte, width - taken)
    const part = ((bytes[start + (place >>> 3)] as number) >>> inByte) & (2 ** take - 1)
    value += part * 2 ** taken
    taken += take
  }
  return value
}

/** An unsigned LEB128 number below 2⁵³ and the place after it. */
function varint(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0
  for (let i = 0; i < 7; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) throw new Malformed('a number beyond its page')
    value += (byte & 127) * 2 ** (7 * i)
    if (byte < 128) return [value, at + i + 1]
  }
  throw new Malformed('a number of more than 49 bits')
}

function littleEndian(bytes: Uint8Array, at: number, size: number): number {
  if (at + size > bytes.length) throw new Malformed('a number beyond its page')
  let value = 0
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] as number)
  return value
}
