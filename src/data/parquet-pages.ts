/**
 * The pages of one column of one row group: where they are, and their values. Footers and page headers are parsed by
 * hyparquet; values are unpacked here, a page at a time and with every length checked, because a run length of a damaged
 * file makes hyparquet's readers fill memory. Columns that repeat (lists) are not read.
 */
import type { ColumnMetaData, PageHeader } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { dataCorrupt, errorCode, reason, unsupported } from '../errors.js'
import { damagedHint, type ByteSource } from './file.js'
import { Malformed, readHybrid, unpack } from './parquet-codecs.js'
import { deltaValues } from './parquet-delta.js'

export type Value = null | boolean | number | bigint | string | Uint8Array

/** What is known of a column from the footer. */
export interface ColumnChunk {
  readonly meta: ColumnMetaData
  /** Values of lower definition level are null. */
  readonly maxDefinition: number
  /** Bytes that are text. */
  readonly text: boolean
  /** Of the row group. */
  readonly rows: number
}

export interface Page {
  readonly header: PageHeader
  /** Where its bytes begin. */
  readonly offset: number
  /** Rows of the row group before it, and in it. */
  readonly first: number
  readonly rows: number
}

export interface Pages {
  readonly pages: readonly Page[]
  /** The values that pages of places refer to. */
  readonly dictionary: readonly Value[] | undefined
}

/** Longer headers are statistics of long values; each is read at most this far. */
const headerBytes = 2 ** 16

/** Finds the pages of a column by walking over their headers. ERR_DATA where they do not hold the row group's rows. */
export async function listPages(source: ByteSource, chunk: ColumnChunk): Promise<Pages> {
  return guarded(source, chunk, async () => {
    const { meta, rows } = chunk
    const start = Math.min(Number(meta.dictionary_page_offset ?? meta.data_page_offset), Number(meta.data_page_offset))
    const end = start + Number(meta.total_compressed_size)
    if (!(start >= 4 && end >= start && end <= source.size)) throw new Malformed(`it lies at bytes ${start} to ${end}`)
    const pages: Page[] = []
    let dictionary: readonly Value[] | undefined
    let [at, first] = [start, 0]
    while (at < end && first < rows) {
      const bytes = await source.read(at, Math.min(headerBytes, end - at))
      const reader = { view: new DataView(bytes.buffer), offset: 0 }
      const header = parquetHeader(reader)
      const offset = at + reader.offset
      at = offset + header.compressed_page_size
      if (!(header.compressed_page_size >= 0 && at <= end)) throw new Malformed('a page beyond its column')
      if (header.type === 'DICTIONARY_PAGE') {
        const count = header.dictionary_page_header?.num_values ?? -1
        dictionary = plainValues(await pageBytes(source, chunk, header, offset), 0, count, chunk)
      } else if (header.type === 'DATA_PAGE' || header.type === 'DATA_PAGE_V2') {
        const count = (header.data_page_header ?? header.data_page_header_v2)?.num_values ?? -1
        if (!(count >= 0 && first + count <= rows)) throw new Malformed(`${first + count} values for ${rows} rows`)
        pages.push({ header, offset, first, rows: count })
        first += count
      }
    }
    if (first !== rows) throw new Malformed(`${first} values for ${rows} rows`)
    return { pages, dictionary }
  })
}

/** The values of a page, one a row. Byte arrays are views of the page's memory. */
export async function readPage(
  source: ByteSource,
  chunk: ColumnChunk,
  { header, offset, rows }: Page,
  dictionary: readonly Value[] | undefined,
): Promise<Value[]> {
  return guarded(source, chunk, async () => {
    const { maxDefinition } = chunk
    const width = 32 - Math.clz32(maxDefinition)
    const bytes = await pageBytes(source, chunk, header, offset)
    const second = header.data_page_header_v2
    let at = 0
    let levels: Uint32Array | undefined
    if (second !== undefined) {
      const size = second.definition_levels_byte_length
      if (maxDefinition > 0) levels = readHybrid(bytes.subarray(0, size), 0, width, rows)
      at = size
    } else if (maxDefinition > 0) {
      if (bytes.length < 4) throw new Malformed('a page without levels')
      const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
      levels = readHybrid(bytes.subarray(4, 4 + size), 0, width, rows)
      at = 4 + size
    }
    if (at > bytes.length) throw new Malformed('levels beyond their page')
    const present =
      levels === undefined ? rows : levels.reduce((sum, level) => sum + (level === maxDefinition ? 1 : 0), 0)
    const encoding = (second ?? header.data_page_header)?.encoding
    const values = encodedValues(String(encoding), bytes, at, present, chunk, dictionary, source.path)
    if (levels === undefined || present === rows) return values
    let next = 0
    return Array.from(levels, (level) => (level === maxDefinition ? (values[next++] as Value) : null))
  })
}

function encodedValues(
  encoding: string,
  bytes: Uint8Array,
  at: number,
  count: number,
  chunk: ColumnChunk,
  dictionary: readonly Value[] | undefined,
  path: string,
): Value[] {
  if (encoding === 'PLAIN') return plainValues(bytes, at, count, chunk)
  if (encoding === 'RLE' && chunk.meta.type === 'BOOLEAN') {
    // Four bytes of length stand before the runs.
    return Array.from(readHybrid(bytes, at + 4, 1, count), (bit) => bit === 1)
  }
  const { type } = chunk.meta
  if (encoding.startsWith('DELTA')) return deltaValues(bytes.subarray(at), { encoding, count, type, text: chunk.text })
  if (encoding === 'BYTE_STREAM_SPLIT')
    return plainValues(joinedStreams(bytes.subarray(at), count, type), 0, count, chunk)
  if (encoding !== 'RLE_DICTIONARY' && encoding !== 'PLAIN_DICTIONARY')
    throw unsupported(path, `values encoded by ${encoding} cannot be read`, 'Write the file with plain pages.')
  if (dictionary === undefined) throw new Malformed('places in a dictionary that is not there')
  if (count === 0) return []
  const width = bytes[at]
  if (width === undefined) throw new Malformed('a page without values')
  const places = readHybrid(bytes, at + 1, width, count)
  return Array.from(places, (place) => {
    const value = dictionary[place]
    if (value === undefined) throw new Malformed(`place ${place} of a dictionary of ${dictionary.length}`)
    return value
  })
}

function plainValues(bytes: Uint8Array, at: number, count: number, { meta, text }: ColumnChunk): Value[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fixed = sizes[meta.type]
  // Each value takes bytes, so that a count that lies cannot take memory.
  if (count < 0 || count * (fixed?.size ?? 0.125) > bytes.length - at) throw new Malformed(`${count} values in a page`)
  if (fixed !== undefined) return Array.from({ length: count }, (_, i) => fixed.read(view, at + i * fixed.size))
  if (meta.type === 'BOOLEAN')
    return Array.from({ length: count }, (_, i) => (view.getUint8(at + (i >>> 3)) & (1 << (i % 8))) !== 0)
  if (meta.type !== 'BYTE_ARRAY') throw new Malformed(`values of type ${meta.type}`)
  const values: Value[] = []
  const decoder = new TextDecoder()
  for (let i = 0, position = at; i < count; i++) {
    if (position + 4 > bytes.length) throw new Malformed('a value beyond its page')
    const begin = position + 4
    position = begin + view.getUint32(position, true)
    if (position > bytes.length) throw new Malformed('a value beyond its page')
    const value = bytes.subarray(begin, position)
    values.push(text ? decoder.decode(value) : value)
  }
  return values
}

/** The first bytes of all values, then the second ones, …: put together again. */
function joinedStreams(bytes: Uint8Array, count: number, type: string): Uint8Array {
  const size = sizes[type]?.size
  if (size === undefined || count * size !== bytes.length)
    throw new Malformed(`${count} split values of ${type} in ${bytes.length} bytes`)
  const joined = new Uint8Array(bytes.length)
  for (let i = 0; i < count; i++)
    for (let byte = 0; byte < size; byte++) joined[i * size + byte] = bytes[byte * count + i] as number
  return joined
}

const sizes: { readonly [type: string]: { size: number; read(view: DataView, at: number): Value } | undefined } = {
  INT32: { size: 4, read: (view, at) => view.getInt32(at, true) },
  INT64: { size: 8, read: (view, at) => view.getBigInt64(at, true) },
  FLOAT: { size: 4, read: (view, at) => view.getFloat32(at, true) },
  DOUBLE: { size: 8, read: (view, at) => view.getFloat64(at, true) },
}

/** Levels (in the second version of pages never packed) and values. */
async function pageBytes(
  source: ByteSource,
  { meta }: ColumnChunk,
  header: PageHeader,
  offset: number,
): Promise<Uint8Array> {
  const packed = await source.read(offset, header.compressed_page_size)
  const size = Number(header.uncompressed_page_size)
  const second = header.data_page_header_v2
  if (second === undefined) return unpack(meta.codec, packed, size, source.path)
  const levels = second.definition_levels_byte_length
  if (!(second.repetition_levels_byte_length === 0 && levels >= 0 && levels <= packed.length))
    throw new Malformed('levels beyond their page')
  if (second.is_compressed === false || size === levels) return packed
  const values = await unpack(meta.codec, packed.subarray(levels), size - levels, source.path)
  const bytes = new Uint8Array(levels + values.length)
  bytes.set(packed.subarray(0, levels))
  bytes.set(values, levels)
  return bytes
}

async function guarded<T>(source: ByteSource, { meta }: ColumnChunk, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (errorCode(cause) !== undefined) throw cause
    const where = `column ${meta.path_in_schema.join('.')} is damaged`
    throw dataCorrupt(source.path, `${where} (${reason(cause)})`, damagedHint)
  }
}
