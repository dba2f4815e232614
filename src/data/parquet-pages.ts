/**
 * The pages of one column of one row group: where they are, and their values. Footers and page headers are parsed by
 * hyparquet; values are unpacked here, a page at a time and with every length checked, because a run length of a damaged
 * file makes hyparquet's readers fill memory. What columns that repeat (lists) hold in a row is put together by `parquet-nested`.
 */
import type { ColumnMetaData, PageHeader } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { dataCorrupt, errorCode, reason, unsupported } from '../errors.js'
import { damagedHint, type ByteSource } from './file.js'
import { Malformed, readHybrid, unpack } from './parquet-codecs.js'
import { deltaValues } from './parquet-delta.js'
import type { Levels, Slots } from './parquet-nested.js'

export type Value = null | boolean | number | bigint | string | Uint8Array

/** What is known of a column from the footer. */
export interface ColumnChunk {
  readonly meta: ColumnMetaData
  /** Values of lower definition level are null; so many lists a value lies in. */
  readonly levels: Levels
  /** Bytes that are text. */
  readonly text: boolean
  /** Of the row group. */
  readonly rows: number
}

export interface Page {
  readonly header: PageHeader
  /** Where its bytes begin. */
  readonly offset: number
  /** Rows of the row group that begin before it, and in it: of a column of lists it may begin inside a row, or be all inside one. */
  readonly first: number
  readonly rows: number
}

/** The values of a page, absent ones null, with their levels where the column has lists. */
export interface PageValues extends Slots {
  readonly values: Value[]
  readonly repetition: Uint32Array
  readonly definition: Uint32Array
  /** Where in `values` each row that begins in the page does, and their end. Absent: each value is a row. */
  readonly starts?: Uint32Array
}

export interface Pages {
  readonly pages: readonly Page[]
  /** The values that pages of places refer to. */
  readonly dictionary: readonly Value[] | undefined
}

/** A page of lists with more values than this, and than it has bits, is taken for a lie. */
const mostAlike = 2 ** 24

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
    // The last row of a column of lists may go on in further pages.
    while (at < end && (first < rows || chunk.levels.repetition > 0)) {
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
        const page = { header, offset, first, rows: await rowsOf(source, chunk, header, offset) }
        if (!(page.rows >= 0 && first + page.rows <= rows))
          throw new Malformed(`${first + page.rows} values for ${rows} rows`)
        pages.push(page)
        first += page.rows
      }
    }
    if (first !== rows) throw new Malformed(`${first} values for ${rows} rows`)
    return { pages, dictionary }
  })
}

/** How many rows begin in a page. Of lists the first version of pages does not say it, so their levels are read. */
async function rowsOf(source: ByteSource, chunk: ColumnChunk, header: PageHeader, offset: number): Promise<number> {
  if (chunk.levels.repetition === 0) return valueCount(header)
  if (header.data_page_header_v2 !== undefined) return header.data_page_header_v2.num_rows
  const { repetition } = levelsIn(await pageBytes(source, chunk, header, offset), header, chunk)
  return rowStarts(repetition).length - 1
}

/** The values of a page. Byte arrays are views of the page's memory. */
export async function readPage(
  source: ByteSource,
  chunk: ColumnChunk,
  { header, offset, rows }: Page,
  dictionary: readonly Value[] | undefined,
): Promise<PageValues> {
  return guarded(source, chunk, async () => {
    const { levels } = chunk
    const bytes = await pageBytes(source, chunk, header, offset)
    const { repetition, definition, end } = levelsIn(bytes, header, chunk)
    const starts = levels.repetition > 0 ? rowStarts(repetition) : undefined
    if (starts !== undefined && starts.length - 1 !== rows)
      throw new Malformed(`${starts.length - 1} rows, not ${rows}`)
    const present = definition.reduce((sum, level) => sum + (level === levels.definition ? 1 : 0), 0)
    const count = levels.definition > 0 ? present : valueCount(header)
    const encoding = String((header.data_page_header_v2 ?? header.data_page_header)?.encoding)
    const given = encodedValues(encoding, bytes, end, count, chunk, dictionary, source.path)
    let next = 0
    const values =
      present === definition.length
        ? given
        : Array.from(definition, (level) => (level === levels.definition ? (given[next++] as Value) : null))
    return { values, repetition, definition, ...(starts && { starts }) }
  })
}

const valueCount = (header: PageHeader) => (header.data_page_header ?? header.data_page_header_v2)?.num_values ?? -1

/** The levels at the beginning of a page, none of those that the column has not, and where its values begin. */
function levelsIn(
  bytes: Uint8Array,
  header: PageHeader,
  { levels }: ColumnChunk,
): { repetition: Uint32Array; definition: Uint32Array; end: number } {
  const second = header.data_page_header_v2
  const count = valueCount(header)
  // Values in no list are as many as rows; that has been checked.
  if (levels.repetition > 0 && !(count >= 0 && count <= Math.max(mostAlike, 8 * bytes.length)))
    throw new Malformed(`${count} values in a page`)
  let at = 0
  const take = (most: number, length: number | undefined): Uint32Array => {
    if (length === undefined && most === 0) return new Uint32Array(0)
    if (length === undefined) {
      if (at + 4 > bytes.length) throw new Malformed('a page without levels')
      length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)
      at += 4
    }
    const end = at + length
    if (!(length >= 0 && end <= bytes.length)) throw new Malformed('levels beyond their page')
    const read = most === 0 ? new Uint32Array(0) : readHybrid(bytes.subarray(at, end), 0, 32 - Math.clz32(most), count)
    at = end
    return read
  }
  const repetition = take(levels.repetition, second?.repetition_levels_byte_length)
  const definition = take(levels.definition, second?.definition_levels_byte_length)
  return { repetition, definition, end: at }
}

/** Where rows begin, and the end of all. */
function rowStarts(repetition: Uint32Array): Uint32Array {
  const rows = repetition.reduce((sum, level) => sum + (level === 0 ? 1 : 0), 0)
  const starts = new Uint32Array(rows + 1).fill(repetition.length)
  for (let at = 0, row = 0; row < rows; at++) if (repetition[at] === 0) starts[row++] = at
  return starts
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
  if (meta.type === 'BOOLEAN')
    return Array.from({ length: count }, (_, i) => (view.getUint8(at + (i >>> 3)) & (1 << (i % 8))) !== 0)
  const values: Value[] = []
  if (fixed !== undefined) {
    for (let i = 0; i < count; i++) values.push(fixed.read(view, at + i * fixed.size))
    return values
  }
  if (meta.type !== 'BYTE_ARRAY') throw new Malformed(`values of type ${meta.type}`)
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
  const levels = second.repetition_levels_byte_length + second.definition_levels_byte_length
  if (!(second.repetition_levels_byte_length >= 0 && second.definition_levels_byte_length >= 0))
    throw new Malformed('levels of fewer than no bytes')
  if (levels > packed.length) throw new Malformed('levels beyond their page')
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
