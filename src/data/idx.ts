/**
 * The IDX format of MNIST and its relatives: a header with element type and shape, then the elements, big-endian.
 * Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "FILE FORMATS".
 */
import { dataCorrupt } from '../errors.js'
import { damagedHint, readDataFile } from './file.js'
import { InMemoryDataset } from './in-memory.js'

export type IdxType = 'uint8' | 'int8' | 'int16' | 'int32' | 'float32' | 'float64'

/** A tensor as an IDX file holds it: row-major, in the machine's byte order. */
export interface IdxArray {
  readonly type: IdxType
  readonly shape: readonly number[]
  readonly data: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array
}

export interface IdxOptions {
  /** Images: uint8 [count, height, width] or [count, height, width, 1 or 3]. */
  readonly images: string
  /** Class numbers: any integer type, [count]. */
  readonly labels?: string
  readonly classes?: readonly string[]
  readonly name?: string
}

/** Reads a pair of IDX files (each may be packed by gzip) into memory. ERR_DATA where a file is missing, cut short or lies. */
export async function readIdxDataset({ images, labels, classes, name = 'idx' }: IdxOptions): Promise<InMemoryDataset> {
  const [pixels, classNumbers] = await Promise.all([
    readIdx(images),
    labels === undefined ? undefined : readIdx(labels),
  ])
  const [count, height, width, channels = 1] = pixels.shape
  if (!(pixels.data instanceof Uint8Array) || count === undefined || height === undefined || width === undefined) {
    throw dataCorrupt(images, `expected images, uint8 [count, height, width], found ${describe(pixels)}`, swappedHint)
  }
  if ((channels !== 1 && channels !== 3) || pixels.shape.length > 4 || height === 0 || width === 0) {
    throw dataCorrupt(images, `expected images of 1 or 3 channels and at least one pixel, found ${describe(pixels)}`)
  }
  if (classNumbers !== undefined) checkLabels(labels ?? '', classNumbers, count, images, classes)
  return new InMemoryDataset({
    pixels: pixels.data,
    width,
    height,
    channels,
    name,
    ...(classNumbers === undefined ? {} : { labels: classNumbers.data }),
    ...(classes === undefined ? {} : { classes }),
  })
}

/** Reads one IDX file, packed by gzip or not. */
export async function readIdx(path: string): Promise<IdxArray> {
  return parseIdx(await readDataFile(path), path)
}

/** Reads the bytes of an IDX file; `path` is only for errors. */
export function parseIdx(bytes: Uint8Array, path: string): IdxArray {
  if (bytes.length < 4)
    throw dataCorrupt(path, `expected an IDX header of at least 4 bytes, found ${bytes.length} bytes`, damagedHint)
  const [zero, alsoZero, code = 0, rank = 0] = bytes
  const element = elements[code]
  if (zero !== 0 || alsoZero !== 0 || element === undefined) {
    throw dataCorrupt(
      path,
      `expected an IDX file (00 00, a type of ${codes}, the rank), found the first bytes ${hex(bytes.subarray(0, 4))}`,
    )
  }
  const header = 4 + 4 * rank
  if (rank === 0 || bytes.length < header) {
    throw dataCorrupt(
      path,
      `expected an IDX header with ${rank} sizes, ${header} bytes, found ${bytes.length} bytes`,
      damagedHint,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis))
  const count = shape.reduce((product, size) => product * size, 1)
  const expected = count * element.size
  const found = bytes.length - header
  if (found !== expected) {
    throw dataCorrupt(
      path,
      `expected ${expected} bytes after the header, which says ${element.type} [${shape.join(', ')}], found ${found}`,
      damagedHint,
    )
  }
  return { type: element.type, shape, data: element.read(view, header, count) }
}

const elements: {
  readonly [code: number]: {
    type: IdxType
    size: number
    read(view: DataView, start: number, count: number): IdxArray['data']
  }
} = {
  0x08: {
    type: 'uint8',
    size: 1,
    read: (view, start, count) => new Uint8Array(view.buffer, view.byteOffset + start, count),
  },
  0x09: {
    type: 'int8',
    size: 1,
    read: (view, start, count) => new Int8Array(view.buffer, view.byteOffset + start, count),
  },
  0x0b: {
    type: 'int16',
    size: 2,
    read: (view, start, count) => Int16Array.from({ length: count }, (_, i) => view.getInt16(start + 2 * i)),
  },
  0x0c: {
    type: 'int32',
    size: 4,
    read: (view, start, count) => Int32Array.from({ length: count }, (_, i) => view.getInt32(start + 4 * i)),
  },
  0x0d: {
    type: 'float32',
    size: 4,
    read: (view, start, count) => Float32Array.from({ length: count }, (_, i) => view.getFloat32(start + 4 * i)),
  },
  0x0e: {
    type: 'float64',
    size: 8,
    read: (view, start, count) => Float64Array.from({ length: count }, (_, i) => view.getFloat64(start + 8 * i)),
  },
}

const codes = Object.keys(elements)
  .map((code) => Number(code).toString(16).padStart(2, '0'))
  .join(' ')

function checkLabels(
  path: string,
  labels: IdxArray,
  count: number,
  images: string,
  classes: readonly string[] | undefined,
): void {
  if (labels.shape.length !== 1 || labels.type.startsWith('float')) {
    throw dataCorrupt(path, `expected labels, integers [count], found ${describe(labels)}`, swappedHint)
  }
  if (labels.shape[0] !== count) {
    throw dataCorrupt(path, `expected ${count} labels, as many as images in ${images}, found ${labels.shape[0]}`)
  }
  const limit = classes?.length ?? Infinity
  const wrong = labels.data.findIndex((label: number) => label < 0 || label >= limit)
  if (wrong >= 0) {
    throw dataCorrupt(path, `expected labels in 0..${limit - 1}, found ${labels.data[wrong]} at position ${wrong}`)
  }
}

const swappedHint = 'Are the image file and the label file swapped?'

const describe = ({ type, shape }: IdxArray) => `${type} [${shape.join(', ')}]`

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
