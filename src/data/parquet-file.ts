/** One Parquet file: its footer, its columns by name, and rows of a column with the pages they lie in held for a while. */
import { parquetMetadataAsync, parquetSchema, type FileMetaData, type SchemaTree } from 'hyparquet'
import { dataCorrupt, errorCode, reason, unsupported } from '../errors.js'
import { damagedHint, type ByteSource } from './file.js'
import { listPages, readPage, type ColumnChunk, type Pages, type Value } from './parquet-pages.js'
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
  readonly #chunks = new Map<string, ColumnChunk>()

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

  /** The value of a leaf column at row `row` of a row group. */
  async value(path: readonly string[], group: number, row: number): Promise<Value> {
    const key = `${this.source.path}\0${group}\0${path.join('.')}`
    const chunk = this.#chunks.get(key) ?? this.#chunk(path, group)
    this.#chunks.set(key, chunk)
    const list = (await this.#pages.take(key, () => listPages(this.source, chunk), pagesSize)) as Pages
    let low = 0
    for (let high = list.pages.length - 1; low < high;) {
      const middle = (low + high + 1) >>> 1
      if ((list.pages[middle]?.first ?? Infinity) <= row) low = middle
      else high = middle - 1
    }
    const page = list.pages[low]
    if (page === undefined) throw dataCorrupt(this.source.path, `row group ${group} has no row ${row}`, damagedHint)
    const values = (await this.#pages.take(
      `${key}\0${page.first}`,
      () => readPage(this.source, chunk, page, list.dictionary),
      () => Number(page.header.uncompressed_page_size),
    )) as Value[]
    return values[row - page.first] ?? null
  }

  #chunk(path: readonly string[], group: number): ColumnChunk {
    const found = this.metadata.row_groups[group]?.columns.find(
      ({ meta_data }) => meta_data?.path_in_schema.join('.') === path.join('.'),
    )
    let tree: SchemaTree | undefined = this.#schema
    let maxDefinition = 0
    for (const name of path) {
      tree = tree?.children.find((child) => child.element.name === name)
      if (tree?.element.repetition_type === 'REPEATED')
        throw unsupported(
          this.source.path,
          `column ${path.join('.')} holds lists`,
          'Name a column with one value a row.',
        )
      if (tree?.element.repetition_type === 'OPTIONAL') maxDefinition++
    }
    if (found?.meta_data === undefined || found.file_path !== undefined || tree === undefined)
      throw dataCorrupt(this.source.path, `row group ${group} has no column ${path.join('.')}`)
    const { converted_type, logical_type } = tree.element
    const text = converted_type === 'UTF8' || logical_type?.type === 'STRING'
    return { meta: found.meta_data, maxDefinition, text, rows: this.groups[group] as number }
  }
}

function pagesSize({ pages, dictionary }: Pages): number {
  const held = dictionary?.reduce((sum: number, value) => sum + (value instanceof Uint8Array ? value.length : 8), 0)
  return 200 * pages.length + (held ?? 0)
}
