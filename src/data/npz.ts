/**
 * Images and labels out of NumPy's .npz files: into memory, or, where they are many and stored as they are, image by image from
 * the disk. How such files are built is in `interchange`.
 */
import { basename } from 'node:path'
import { dataCorrupt } from '../errors.js'
import { findStored, readNpz } from '../interchange/npz.js'
import type { Tensor } from '../tensor/index.js'
import { fileSource, type ByteSource } from './file.js'
import { InMemoryDataset, checkIndex } from './in-memory.js'
import { labelsOf } from './labels.js'
import type { Dataset, Sample } from './sample.js'

export interface NpzOptions {
  readonly path: string
  /** The array of images, uint8 [count, height, width] or [count, height, width, 1 or 3]. */
  readonly images?: string
  /** The array of class numbers, [count] or [count, 1], any integer type; null: none. */
  readonly labels?: string | null
  readonly classes?: readonly string[] | undefined
  /**
   * Images of more bytes than this stay on the disk, if the file stores them as they are (`numpy.savez`); their checksum is not
   * compared then. Deflated ones are read into memory whatever their size. Default 1 GiB.
   */
  readonly memoryBytes?: number | undefined
  readonly name?: string
}

/** ERR_DATA where an array is missing, of another type or shape, or damaged. */
export async function readNpzDataset(options: NpzOptions): Promise<InMemoryDataset | StoredNpzDataset> {
  const { path, images = 'images', labels = 'labels', memoryBytes = 2 ** 30, name = basename(path) } = options
  const stored = await findStored(path, images)
  if (stored !== undefined && stored.shape.reduce((product, side) => product * side, 1) > memoryBytes) {
    const size = imageSize(path, images, { dtype: stored.type, shape: stored.shape })
    const named = labels === null ? classesOf(options) : await readLabels(options, labels, size.count)
    return new StoredNpzDataset(await fileSource(path), { ...size, ...named, begin: stored.begin, name })
  }
  const arrays = await readNpz(path, { names: [images] })
  const pixels = arrays.get(images) as Tensor
  try {
    const { count, ...size } = imageSize(path, images, pixels)
    const named = labels === null ? classesOf(options) : await readLabels(options, labels, count)
    return new InMemoryDataset({ pixels: (await pixels.data()) as Uint8Array, ...size, ...named, name })
  } finally {
    pixels.dispose()
  }
}

interface StoredOptions {
  readonly count: number
  readonly height: number
  readonly width: number
  readonly channels: 1 | 3
  readonly labels?: Uint32Array
  readonly classes?: readonly string[]
  /** The byte of the file at which the first image begins. */
  readonly begin: number
  readonly name: string
}

/** Images that are read from a file one by one, each a reading of the disk. */
export class StoredNpzDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly labels: Uint32Array | undefined
  readonly #source: ByteSource
  readonly #options: StoredOptions

  constructor(source: ByteSource, options: StoredOptions) {
    this.name = options.name
    this.length = options.count
    if (options.classes !== undefined) this.classes = options.classes
    this.labels = options.labels
    this.#source = source
    this.#options = options
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    const { begin, width, height, channels } = this.#options
    const bytes = width * height * channels
    const pixels = await this.#source.read(begin + index * bytes, bytes)
    const label = this.labels?.[index]
    return { image: { pixels, offset: 0, width, height, channels }, ...(label !== undefined && { label }), index }
  }
}

type Described = Pick<Tensor, 'dtype' | 'shape'> | { readonly dtype: string; readonly shape: readonly number[] }

function imageSize(
  path: string,
  images: string,
  array: Described,
): Pick<StoredOptions, 'count' | 'height' | 'width' | 'channels'> {
  const [count, height, width, channels = 1] = array.shape
  const fits = array.dtype === 'uint8' && (array.shape.length === 3 || array.shape.length === 4)
  if (!fits || count === undefined || height === undefined || width === undefined) {
    const hint = array.dtype === 'uint8' ? undefined : 'Save pixels of 0..255 as uint8: images.astype(numpy.uint8).'
    throw dataCorrupt(path, `expected "${images}" as uint8 [count, height, width(, channels)], ${found(array)}`, hint)
  }
  if (channels !== 1 && channels !== 3) {
    const hint = 'Channels come last: numpy.transpose(images, (0, 2, 3, 1)).'
    throw dataCorrupt(path, `expected 1 or 3 channels in "${images}", ${found(array)}`, hint)
  }
  return { count, height, width, channels }
}

async function readLabels({ path, classes }: NpzOptions, labels: string, count: number) {
  const numbers = (await readNpz(path, { names: [labels] })).get(labels) as Tensor
  try {
    const flat = numbers.shape.slice(1).every((side) => side === 1)
    if (!flat || numbers.shape[0] !== count || !['int64', 'uint8'].includes(numbers.dtype))
      throw dataCorrupt(path, `expected "${labels}" as ${count} integers, ${found(numbers)}`)
    const values = Array.from((await numbers.data()) as BigInt64Array | Uint8Array, Number)
    return labelsOf(values, classes, (row) => `${path}, image ${row}`)
  } finally {
    numbers.dispose()
  }
}

const classesOf = ({ classes }: NpzOptions) => (classes === undefined ? {} : { classes })

const found = ({ dtype, shape }: Described) => `found ${dtype} [${shape.join(', ')}]`
