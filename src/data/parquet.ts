/**
 * Images in Parquet files as the Hugging Face Hub keeps them: bytes of image files, or `{bytes, path}` structures, and labels;
 * where a row holds a list of images, they are a clip. Pixels in lists (Array2D, Array3D) are images too.
 * Pages are read when a row of theirs is needed and held within a limit; no file is in memory whole.
 */
import { basename } from 'node:path'
import { SptError, dataCorrupt, dataMissing } from '../errors.js'
import { filesOf } from './file-patterns.js'
import { fileSource, type ByteSource } from './file.js'
import { checkIndex } from './in-memory.js'
import { labelOf } from './labels.js'
import { ParquetFile } from './parquet-file.js'
import { leavesOf, type NestedValue } from './parquet-nested.js'
import { blockPermutation } from './random-order.js'
import { RecentlyUsed } from './recently-used.js'
import type { Dataset, EncodedImage, RawImage, Sample } from './sample.js'

export interface ParquetOptions {
  /** Files of equal columns, in this order: paths, patterns such as `train-*.parquet`, folders of them, or bytes at hand. */
  readonly files: readonly (string | ByteSource)[]
  /** The column of images; default: the one that is noted as such or holds `{bytes}`, `image` first. */
  readonly image?: string | undefined
  /** The column of labels; default: the one noted as such, else `label`, else none; null: none. */
  readonly label?: string | null | undefined
  /** Further columns that samples hand on: values, lists as arrays, structures as objects. */
  readonly keep?: readonly string[] | undefined
  /** Class 0 first; default: as noted in the files. */
  readonly classes?: readonly string[] | undefined
  /** Bytes of unpacked pages held at most; a random order mixes as many rows as fill half of it. */
  readonly cacheBytes?: number | undefined
  readonly name?: string | undefined
}

interface Columns {
  /** Path of the leaf with the bytes. */
  readonly image: readonly string[]
  /** What a row holds: the bytes of a file, a list of such, or numbers in rows and columns (and channels). */
  readonly kind: 'file' | 'clip' | 'pixels'
  readonly label: string | null
  readonly keep: readonly string[]
}

export class ParquetDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly columns: Columns
  readonly #files: readonly ParquetFile[]
  /** First row of each row group, over all files, and where it is. */
  readonly #starts: Float64Array
  readonly #places: readonly (readonly [file: number, group: number])[]
  readonly #window: number

  private constructor(
    files: readonly ParquetFile[],
    columns: Columns,
    classes: readonly string[] | undefined,
    name: string,
    cacheBytes: number,
  ) {
    this.name = name
    if (classes !== undefined) this.classes = classes
    this.columns = columns
    this.#files = files
    this.#places = files.flatMap(({ groups }, file) => groups.map((_, group) => [file, group] as const))
    this.#starts = new Float64Array(this.#places.length + 1)
    this.#places.forEach(([file, group], i) => {
      this.#starts[i + 1] = (this.#starts[i] as number) + (files[file]?.groups[group] ?? 0)
    })
    this.length = this.#starts.at(-1) as number
    const bytes = files.reduce((sum, file) => sum + file.unpackedBytes(columns.image), 0)
    this.#window = Math.max(1, Math.floor(cacheBytes / 2 / Math.max(1, bytes / this.length)))
  }

  /** Reads the footers. ERR_DATA where a file is missing or damaged, columns are not there or differ. */
  static async open(options: ParquetOptions): Promise<ParquetDataset> {
    const { files, classes, cacheBytes = 2 ** 28, name } = options
    const pages = new RecentlyUsed<unknown>(cacheBytes)
    const open: ParquetFile[] = []
    for (const file of files) {
      const sources = typeof file === 'string' ? await filesOf(file, ['.parquet']) : [file]
      for (const source of sources)
        open.push(await ParquetFile.open(typeof source === 'string' ? await fileSource(source) : source, pages))
    }
    const [first] = open
    if (first === undefined) throw dataMissing(name ?? 'parquet', 'file', 'Give one Parquet file at least.')
    const features = featuresOf(first)
    const columns = columnsOf(first, features, options)
    for (const file of open) {
      const lacking = [columns.image[0] as string, ...columns.keep, ...(columns.label === null ? [] : [columns.label])]
      const missing = lacking.find((column) => !file.columns.has(column))
      if (missing !== undefined) throw noColumn(file, missing)
    }
    if (open.every(({ rows }) => rows === 0)) throw dataCorrupt(first.source.path, 'it has no rows')
    const noted = columns.label === null ? undefined : features[columns.label]?.names
    return new ParquetDataset(open, columns, classes ?? noted, name ?? basename(first.source.path), cacheBytes)
  }

  /** Row groups in random order; within as many as fill half of `cacheBytes`, any order. */
  shuffled(seed: number, epoch: number): Uint32Array {
    const lengths = this.#places.map(([file, group]) => this.#files[file]?.groups[group] ?? 0)
    return blockPermutation(lengths, this.#window, seed, epoch)
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    let low = 0
    for (let high = this.#places.length - 1; low < high;) {
      const middle = (low + high + 1) >>> 1
      if ((this.#starts[middle] as number) <= index) low = middle
      else high = middle - 1
    }
    const [number, group] = this.#places[low] as readonly [number, number]
    const file = this.#files[number] as ParquetFile
    const row = index - (this.#starts[low] as number)
    const { image, kind, label, keep } = this.columns
    const where = `${file.source.path}, row ${index}`
    const [encoded, classNumber, ...rest] = await Promise.all([
      kind === 'file' ? file.value(image, group, row) : file.column(image[0] as string, group, row),
      label === null ? undefined : file.column(label, group, row),
      ...keep.map((name) => file.column(name, group, row)),
    ])
    return {
      ...Object.fromEntries(keep.map((name, i) => [name, rest[i]])),
      image: { file: imageOf, clip: framesOf, pixels: pixelsOf }[kind](encoded, image, where),
      ...(label !== null && { label: labelOf(classNumber, this.classes, where) }),
      index,
    }
  }
}

function imageOf(encoded: NestedValue, column: readonly string[], path: string): EncodedImage {
  if (encoded instanceof Uint8Array) return { encoded, path }
  const hint = 'Rows that name a path only are not read: embed the bytes, or use a manifest of the files.'
  throw dataCorrupt(path, `column ${column.join('.')} holds no bytes`, hint)
}

/** A list of bytes, or of structures with them. */
function framesOf(list: NestedValue, column: readonly string[], path: string): EncodedImage[] {
  if (!Array.isArray(list) || list.length === 0) throw dataCorrupt(path, `column ${column.join('.')} holds no images`)
  return list.map((item, frame) => {
    const structure = typeof item === 'object' && item !== null && 'bytes' in item && !(item instanceof Uint8Array)
    return imageOf(structure ? (item['bytes'] ?? null) : item, column, `${path}, frame ${frame}`)
  })
}

/** Levels 0..255 in lists [height][width], [height][width][channels] or [channels][height][width], of 1 or 3 channels. */
function pixelsOf(lists: NestedValue, column: readonly string[], path: string): RawImage {
  const sizes: number[] = []
  let level = [lists]
  for (let first = level[0]; Array.isArray(first); first = level[0]) {
    const { length } = first
    if (!level.every((list) => Array.isArray(list) && list.length === length)) break
    sizes.push(length)
    level = level.flat()
  }
  const [a = 0, b = 0, c = 1] = sizes
  const planar = sizes.length === 3 && c !== 1 && c !== 3
  const [height, width, channels] = planar ? [b, c, a] : [a, b, c]
  const pixels = Uint8Array.from(level, Number)
  const whole = level.every((value, i) => Number(value) === pixels[i] && value !== null)
  if (
    !whole ||
    (sizes.length !== 2 && sizes.length !== 3) ||
    (channels !== 1 && channels !== 3) ||
    pixels.length === 0
  ) {
    const found = `lists of ${sizes.join(' x ')} values`
    throw dataCorrupt(path, `column ${column[0]}: expected rows and columns of 1 or 3 levels 0..255, found ${found}`)
  }
  if (!planar) return { pixels, offset: 0, height, width, channels }
  const area = height * width
  const interleaved = pixels.map((_, i) => pixels[(i % channels) * area + Math.floor(i / channels)] as number)
  return { pixels: interleaved, offset: 0, height, width, channels }
}

interface Feature {
  readonly _type?: string
  readonly names?: readonly string[]
}

/** What the `datasets` library noted of the columns. */
function featuresOf(file: ParquetFile): Record<string, Feature | undefined> {
  try {
    const noted = JSON.parse(file.note('huggingface') ?? '{}') as { info?: { features?: Record<string, Feature> } }
    return noted.info?.features ?? {}
  } catch {
    return {}
  }
}

function columnsOf(
  file: ParquetFile,
  features: Record<string, Feature | undefined>,
  { image, label, keep = [] }: ParquetOptions,
): Columns {
  const names = [...file.columns.keys()]
  const found =
    image ??
    names.find((name) => features[name]?._type === 'Image') ??
    ['image', 'img', ...names].find((name) => bytesIn(file, name)?.levels.repetition === 0) ??
    names.find((name) => bytesIn(file, name) !== undefined) ??
    ['image', 'img'].find((name) => pixelsIn(file, name) !== undefined)
  if (image !== undefined && !file.columns.has(image)) throw noColumn(file, image)
  const leaf = found === undefined ? undefined : (bytesIn(file, found) ?? pixelsIn(file, found))
  if (leaf === undefined) {
    const what = found === undefined ? 'no column' : `column "${found}"`
    const hint = `Name one with image: bytes of files, lists of them, or lists of pixels. It has ${names.slice(0, 20).join(', ')}.`
    throw new SptError(
      'ERR_DATA',
      `${file.source.path}: ${what} holds ${found === undefined ? 'images' : 'no bytes of images'}`,
      { hint },
    )
  }
  const noted = names.find((name) => features[name]?._type === 'ClassLabel')
  const labels = label === undefined ? (noted ?? (file.columns.has('label') ? 'label' : null)) : label
  const kind = leaf.node.element.type !== 'BYTE_ARRAY' ? 'pixels' : leaf.levels.repetition > 0 ? 'clip' : 'file'
  return { image: leaf.node.path, kind, label: labels, keep }
}

/** The leaf of a column that holds pixels: whole numbers in two or three lists. */
function pixelsIn(file: ParquetFile, name: string): ReturnType<typeof leavesOf>[number] | undefined {
  const column = file.columns.get(name)
  const [leaf, ...others] = column === undefined ? [] : leavesOf(column)
  const { repetition = 0 } = leaf?.levels ?? {}
  const whole = leaf?.node.element.type === 'INT32' || leaf?.node.element.type === 'INT64'
  return whole && others.length === 0 && (repetition === 2 || repetition === 3) ? leaf : undefined
}

/** The leaf of a column that holds bytes of files: the column, or `bytes` of a structure, or of a list of either. */
function bytesIn(file: ParquetFile, name: string): ReturnType<typeof leavesOf>[number] | undefined {
  const column = file.columns.get(name)
  const leaves = column === undefined ? [] : leavesOf(column)
  return leaves.find(({ node: { element }, levels }) => {
    const text = element.converted_type === 'UTF8' || element.logical_type?.type === 'STRING'
    const named = element.name === 'bytes' || leaves.length === 1
    return element.type === 'BYTE_ARRAY' && !text && named && levels.repetition < 2
  })
}

function noColumn(file: ParquetFile, name: string): SptError {
  return new SptError('ERR_DATA', `${file.source.path}: there is no column "${name}"`, {
    hint: `It has ${[...file.columns.keys()].slice(0, 20).join(', ')}.`,
  })
}
