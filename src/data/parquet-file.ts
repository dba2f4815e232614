/** One Parquet file: its footer, its columns by name, and rows of a column with the pages they lie in held for a while. */
import { parquetMetadataAsync, parquetSchema, type FileMetaData, type SchemaTree } from 'hyparquet'
import { dataCorrupt, errorCode, reason } from '../errors.js'
import { damagedHint, type ByteSource } from './file.js'
import { assemble, leavesOf, type NestedValue, type Slots } from './parquet-nested.js'
import {
  listPages,
  readPage,
  type ColumnChunk,
  type Page,
  type Pages,
  type PageValues,
  type Value,
} from './parquet-pages.js'
import type { RecentlyUsed } from './recently-used.js'

/** More rows than this are taken for a lie: an order of them must fit in memory. */
const mostRows = 2 ** 31

export class ParquetFile {
  readonly source: ByteSource
  readonly metadata: FileMetaData
  /** Rows of each row group. */
  readonly groups: readonly number[]
  readonly rows: number
  readonly #schema: SchemaTree
  readonly #pages: RecentlyUsed<unknown>
  readonly #chunks = new Map<string, OpenChunk>()

  private constructor(source: ByteSource, metadata: FileMetaData, groups: number[], pages: RecentlyUsed<unknown>) {
    this.source = source
    this.metadata = metadata
    this.groups = groups
    this.rows = groups.reduce((sum, rows) => sum + rows, 0)
    this.#schema = parquetSchema(metadata)
    this.#pages = pages
  }

  /** Reads the footer. ERR_DATA where the file is none of Parquet, cut short or contradicts itself. */
  static async open(source: ByteSource, pages: RecentlyUsed<unknown>): Promise<ParquetFile> {
    const file = {
      byteLength: source.size,
      slice: async (begin: number, end = source.size) => (await source.read(begin, end - begin)).buffer,
    }
    try {
      if (source.size < 12) throw new Error(`${source.size} bytes are too few`)
      const metadata = await parquetMetadataAsync(file)
      const groups = metadata.row_groups.map(({ num_rows }) => Number(num_rows))
      const total = groups.reduce((sum, rows) => sum + rows, 0)
      const sound = groups.every((rows) => rows >= 0 && rows < mostRows) && total < mostRows
      if (!sound || total !== Number(metadata.num_rows))
        throw new Error(`row groups of ${total} rows, ${metadata.num_rows} in all`)
      return new ParquetFile(source, metadata, groups, pages)
    } catch (cause) {
      if (errorCode(cause) !== undefined) throw cause
      throw dataCorrupt(source.path, `expected a whole Parquet file (${reason(cause)})`, damagedHint)
    }
  }

  /** The columns at the top, by name. */
  get columns(): ReadonlyMap<string, SchemaTree> {
    return new Map(this.#schema.children.map((child) => [child.element.name, child]))
  }

  /** What the writer noted under a key. */
  note(key: string): string | undefined {
    return this.metadata.key_value_metadata?.find((entry) => entry.key === key)?.value
  }

  /** Bytes of a column when unpacked. */
  unpackedBytes(path: readonly string[]): number {
    const all = this.metadata.row_groups.flatMap(({ columns }) => columns)
    return all
      .filter(({ meta_data }) => meta_data?.path_in_schema.join('.') === path.join('.'))
      .reduce((sum, { meta_data }) => sum + Number(meta_data?.total_uncompressed_size ?? 0), 0)
  }

  /** The value of a leaf that is in no list, at row `row` of a row group. */
  async value(path: readonly string[], group: number, row: number): Promise<Value> {
    const chunk = this.#chunk(path, group)
    const { pages, place, page } = await this.#page(chunk, row)
    return (await this.#values(chunk, pages, place)).values[row - page.first] ?? null
  }

  /** What a column at the top holds in row `row` of a row group: a value, lists as arrays, structures as objects. */
  async column(name: string, group: number, row: number): Promise<NestedValue> {
    const column = this.columns.get(name)
    if (column === undefined) throw dataCorrupt(this.source.path, `there is no column ${name}`)
    const leaves = leavesOf(column)
    if (leaves[0]?.node === column && leaves[0].levels.repetition === 0) return this.value([name], group, row)
    // All are found before one is read: nobody would await those that an error leaves behind.
    const chunks = leaves.map(({ node }) => this.#chunk(node.path, group))
    const slots = await Promise.all(chunks.map((chunk) => this.#row(chunk, row)))
    try {
      return assemble(column, slots)
    } catch (cause) {
      throw dataCorrupt(this.source.path, `column ${name} is damaged (${reason(cause)})`, damagedHint)
    }
  }

  /** The slots of one row, which may go on in the pages after that in which it begins. */
  async #row(chunk: OpenChunk, row: number): Promise<Slots> {
    const { pages, place, page } = await this.#page(chunk, row)
    const first = await this.#values(chunk, pages, place)
    const at = row - page.first
    const parts = [slotsOf(first, first.starts?.[at] ?? at, first.starts?.[at + 1] ?? at + 1)]
    const last = first.starts !== undefined && at === page.rows - 1
    for (let next = place + 1; last && next < pages.pages.length; next++) {
      const more = await this.#values(chunk, pages, next)
      const end = more.starts?.[0] ?? 0
      parts.push(slotsOf(more, 0, end))
      if (end < more.values.length) break
    }
    if (parts.length === 1) return parts[0] as Slots
    return {
      values: parts.flatMap(({ values }) => values),
      repetition: parts.flatMap(({ repetition }) => [...repetition]),
      definition: parts.flatMap(({ definition }) => [...definition]),
    }
  }

  /** The page in which a row begins. */
  async #page(chunk: OpenChunk, row: number): Promise<{ pages: Pages; place: number; page: Page }> {
    const pages = (await this.#pages.take(chunk.key, () => listPages(this.source, chunk), pagesSize)) as Pages
    let low = 0
    for (let high = pages.pages.length - 1; low < high;) {
      const middle = (low + high + 1) >>> 1
      if ((pages.pages[middle]?.first ?? Infinity) <= row) low = middle
      else high = middle - 1
    }
    const page = pages.pages[low]
    if (page === undefined)
      throw dataCorrupt(this.source.path, `row group ${chunk.group} has no row ${row}`, damagedHint)
    return { pages, place: low, page }
  }

  async #values(chunk: OpenChunk, { pages, dictionary }: Pages, place: number): Promise<PageValues> {
    const page = pages[place] as Page
    const read = () => readPage(this.source, chunk, page, dictionary)
    const size = ({ values, repetition, definition, starts }: PageValues) =>
      Number(page.header.uncompressed_page_size) +
      repetition.byteLength +
      definition.byteLength +
      (starts === undefined ? 0 : 8 * values.length)
    return (await this.#pages.take(`${chunk.key}\0${place}`, read, size)) as PageValues
  }

  #chunk(path: readonly string[], group: number): OpenChunk {
    const name = path.join('.')
    const key = `${this.source.path}\0${group}\0${name}`
    const known = this.#chunks.get(key)
    if (known !== undefined) return known
    const column = this.columns.get(path[0] ?? '')
    const leaf = column && leavesOf(column).find(({ node }) => node.path.join('.') === name)
    const found = this.metadata.row_groups[group]?.columns.find(
      ({ meta_data }) => meta_data?.path_in_schema.join('.') === name,
    )
    if (found?.meta_data === undefined || found.file_path !== undefined || leaf === undefined)
      throw dataCorrupt(this.source.path, `row group ${group} has no column ${name}`)
    const { converted_type, logical_type } = leaf.node.element
    const text = converted_type === 'UTF8' || logical_type?.type === 'STRING'
    const rows = this.groups[group] as number
    const chunk = { meta: found.meta_data, levels: leaf.levels, text, rows, group, key }
    this.#chunks.set(key, chunk)
    return chunk
  }
}

interface OpenChunk extends ColumnChunk {
  readonly group: number
  /** Of all files'. */
  readonly key: string
}

function slotsOf({ values, repetition, definition }: PageValues, begin: number, end: number): Slots {
  return {
    values: values.slice(begin, end),
    repetition: repetition.subarray(begin, end),
    definition: definition.subarray(begin, end),
  }
}

function pagesSize({ pages, dictionary }: Pages): number {
  const held = dictionary?.reduce((sum: number, value) => sum + (value instanceof Uint8Array ? value.length : 8), 0)
  return 200 * pages.length + (held ?? 0)
}
