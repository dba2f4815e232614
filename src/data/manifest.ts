/** A list of image files with their labels, as CSV or JSON lines. Files are read when their batch is made, not before. */
import { dirname, resolve } from 'node:path'
import { SptError, dataCorrupt } from '../errors.js'
import { readCsv, readJsonLines, type Row } from './csv.js'
import { readBytes } from './file.js'
import { checkIndex } from './in-memory.js'
import { labelsOf } from './labels.js'
import type { Dataset, Sample } from './sample.js'

export interface ManifestOptions {
  readonly path: string
  /** Default: by the ending of `path`: .csv, .tsv, .jsonl or .ndjson. */
  readonly format?: 'csv' | 'tsv' | 'jsonl' | undefined
  /** The column of paths; default: the first there is of `file_name`, `path`, `image`, `file`, `filename`. */
  readonly image?: string | undefined
  /** The column of labels, whole numbers or names; default: `label` where there is one; null: no labels. */
  readonly label?: string | null | undefined
  /** Names of the columns of a CSV file whose first line is not a header. */
  readonly columns?: readonly string[] | undefined
  /** Further columns that samples hand on. */
  readonly keep?: readonly string[] | undefined
  /** Where relative paths start; default: the folder of the manifest. */
  readonly root?: string | undefined
  /** Class 0 first; default: the names that occur, in the order of their bytes. */
  readonly classes?: readonly string[] | undefined
  readonly name?: string | undefined
}

const imageColumns = ['file_name', 'path', 'image', 'file', 'filename']

export class ManifestDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly root: string
  /** As the manifest has them. */
  readonly files: readonly string[]
  readonly labels: Uint32Array | undefined
  readonly #kept: ReadonlyMap<string, readonly unknown[]>

  private constructor(
    { path, root = dirname(path), name = 'manifest' }: ManifestOptions,
    files: readonly string[],
    labels: { labels?: Uint32Array; classes?: readonly string[] },
    kept: ReadonlyMap<string, readonly unknown[]>,
  ) {
    this.name = name
    this.root = root
    this.length = files.length
    this.files = files
    this.labels = labels.labels
    if (labels.classes !== undefined) this.classes = labels.classes
    this.#kept = kept
  }

  /** Reads the list. ERR_DATA with file and line where a row has no path or label, a column is missing, the text is damaged. */
  static async open(options: ManifestOptions): Promise<ManifestDataset> {
    const { path, keep = [] } = options
    const files: string[] = []
    const given: unknown[] = []
    const lines: number[] = []
    const kept = new Map(keep.map((name) => [name, [] as unknown[]]))
    let image = options.image
    let label = options.label
    for await (const { line, value: row } of rowsOf(options)) {
      const where = `${path}:${line}`
      image ??= imageColumns.find((name) => name in row)
      if (image === undefined) throw columnMissing(where, 'paths', imageColumns.join(' or '), row)
      if (label === undefined) label = 'label' in row ? 'label' : null
      const file = row[image]
      if (typeof file !== 'string' || file === '') throw columnMissing(where, 'a path', image, row)
      files.push(file)
      lines.push(line)
      if (label !== null) {
        if (row[label] === undefined || row[label] === null || row[label] === '')
          throw columnMissing(where, 'a label', label, row)
        given.push(row[label])
      }
      for (const [name, values] of kept) {
        if (!(name in row)) throw columnMissing(where, 'a value', name, row)
        values.push(row[name])
      }
    }
    if (files.length === 0) throw dataCorrupt(path, 'it lists no image')
    const labels = label === null ? {} : labelsOf(given, options.classes, (row) => `${path}:${lines[row]}`)
    return new ManifestDataset(options, files, labels, kept)
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    const path = resolve(this.root, this.files[index] as string)
    const rest = Object.fromEntries([...this.#kept].map(([name, values]) => [name, values[index]]))
    const image = { encoded: await readBytes(path), path }
    const label = this.labels?.[index]
    return label === undefined ? { ...rest, image, index } : { ...rest, image, label, index }
  }
}

async function* rowsOf(options: ManifestOptions): AsyncGenerator<Row<Record<string, unknown>>> {
  const { path, columns } = options
  const format = options.format ?? formatOf(path)
  if (format === 'jsonl') return yield* readJsonLines(path)
  let names = columns
  for await (const { line, value } of readCsv(path, format === 'tsv' ? '\t' : ',')) {
    if (names === undefined) {
      names = value.map((name) => name.trim().replace(/^\uFEFF/, ''))
      continue
    }
    if (value.length !== names.length) {
      const message = `expected ${names.length} fields (${names.join(', ')}), found ${value.length}`
      throw dataCorrupt(`${path}:${line}`, message, 'A field that holds the delimiter is written in quotes.')
    }
    yield { line, value: Object.fromEntries(names.map((name, i) => [name, value[i]])) }
  }
}

function formatOf(path: string): 'csv' | 'tsv' | 'jsonl' {
  const ending = /\.(csv|tsv|jsonl|ndjson)$/i.exec(path)?.[1]?.toLowerCase()
  if (ending === undefined) {
    throw new SptError('ERR_DATA', `${path}: its ending tells no format`, { hint: 'Give format: csv, tsv or jsonl.' })
  }
  return ending === 'csv' || ending === 'tsv' ? ending : 'jsonl'
}

function columnMissing(where: string, what: string, name: string, row: Record<string, unknown>): SptError {
  return dataCorrupt(where, `expected ${what} in column ${name}, found none`, `It has ${Object.keys(row).join(', ')}.`)
}
