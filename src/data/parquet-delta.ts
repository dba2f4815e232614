/**
 * Values of Parquet pages that are written as differences: whole numbers, lengths of texts, beginnings shared with the value
 * before. hyparquet unpacks the numbers; what a damaged file could make it fill memory by is checked here first.
 * Source: Apache Parquet's format documents, "Encodings", delta encodings.
 */
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { Malformed } from './parquet-codecs.js'
import type { Value } from './parquet-pages.js'

/** Values of more bytes than this in a page are taken for a lie. */
const largestPage = 2 ** 30

/** Writers use blocks of 128 values. */
const largestBlock = 2 ** 16

interface DeltaPage {
  readonly encoding: string
  readonly count: number
  /** Parquet's physical type. */
  readonly type: string
  /** Byte arrays are text. */
  readonly text: boolean
}

/** `count` values out of the bytes of a page, or of what follows its levels. */
export function deltaValues(bytes: Uint8Array, { encoding, count, type, text }: DeltaPage): Value[] {
  if (count === 0) return []
  const reader = new DeltaReader(bytes)
  if (encoding === 'DELTA_BINARY_PACKED') {
    if (type === 'INT32') return Array.from(reader.numbers(count))
    if (type === 'INT64') return Array.from(reader.longNumbers(count))
    throw new Malformed(`differences of ${type}`)
  }
  if (type !== 'BYTE_ARRAY' || (encoding !== 'DELTA_LENGTH_BYTE_ARRAY' && encoding !== 'DELTA_BYTE_ARRAY'))
    throw new Malformed(`values of ${type} encoded by ${encoding}`)
  const shared = encoding === 'DELTA_BYTE_ARRAY' ? reader.numbers(count) : undefined
  const lengths = reader.numbers(count)
  const decoder = new TextDecoder()
  const values: Value[] = []
  let before: Uint8Array = new Uint8Array(0)
  let total = 0
  for (let i = 0; i < count; i++) {
    const rest = reader.bytes(lengths[i] as number)
    const kept = shared?.[i] ?? 0
    if (kept < 0 || kept > before.length) throw new Malformed(`${kept} bytes shared with a value of ${before.length}`)
    if ((total += kept + rest.length) > largestPage) throw new Malformed(`values of more than ${largestPage} bytes`)
    before = kept === 0 ? rest : joined(before.subarray(0, kept), rest)
    values.push(text ? decoder.decode(before) : before)
  }
  return values
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

class DeltaReader {
  readonly view: DataView
  offset = 0
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  numbers(count: number): Int32Array {
    this.#check(count)
    const values = new Int32Array(count)
    deltaBinaryUnpack(this, count, values)
    return values
  }

  longNumbers(count: number): BigInt64Array {
    this.#check(count)
    const values = new BigInt64Array(count)
    deltaBinaryUnpack(this, count, values)
    return values
  }

  /** A view of the next bytes. */
  bytes(length: number): Uint8Array {
    if (length < 0 || this.offset + length > this.#bytes.length) throw new Malformed('a value beyond its page')
    const begin = this.offset
    this.offset += length
    return this.#bytes.subarray(begin, this.offset)
  }

  /** The header: values of a block, miniblocks in it, values in all. Each block takes two bytes at least. */
  #check(count: number): void {
    let at = this.offset
    const number = (): number => {
      let value = 0
      for (let i = 0; i < 5; i++) {
        const byte = this.#bytes[at++]
        if (byte === undefined) throw new Malformed('a number beyond its page')
        value += (byte & 127) * 2 ** (7 * i)
        if (byte < 128) return value
      }
      throw new Malformed('a number of more than 35 bits')
    }
    const [block, miniblocks, values] = [number(), number(), number()]
    const sound =
      block > 0 && block <= largestBlock && miniblocks > 0 && block % miniblocks === 0 && (block / miniblocks) % 8 === 0
    if (!sound) throw new Malformed(`blocks of ${block} differences in ${miniblocks} parts`)
    if (values !== count) throw new Malformed(`${values} differences for ${count} values`)
    if (count - 1 > ((this.#bytes.length - at) / 2) * block)
      throw new Malformed(`${count} differences in ${this.#bytes.length} bytes`)
  }
}
