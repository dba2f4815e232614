/**
 * NumPy's .npy files: one array each, format versions 1 to 3, either byte order, rows or columns first.
 * Pickled objects, structures, texts and complex numbers are not read.
 */
import { dataCorrupt, errorCode, reason, SptError, unsupported } from '../errors.js'
import { fromHalfBits } from '../native.js'
import { replaceFile } from '../runs/atomic-file.js'
import { bytesOf } from '../tensor/bytes.js'
import { hostTensor } from '../tensor/host.js'
import { scope, type DType, type Tensor } from '../tensor/index.js'
import { ByteReader, bytesOfFile, withFile } from './byte-reader.js'

/**
 * The array of a .npy file. Integers other than uint8 become int64: no value changes.
 *
 * @throws ERR_DATA when the file is missing, cut off or no .npy file, or a uint64 is 2⁶³ or more; ERR_UNSUPPORTED for a
 *   type that no tensor has.
 */
export function readNpy(path: string): Promise<Tensor> {
  return withFile(path, (file, size) => readNpyFrom(path, new ByteReader(path, bytesOfFile(file, 0, size)), size))
}

/** Writes a .npy file (version 1, little endian, rows first) that appears whole. @throws ERR_DATA when it cannot be. */
export async function writeNpy(path: string, tensor: Tensor): Promise<void> {
  const pieces = await npyBytes(tensor)
  try {
    await replaceFile(path, async (file) => {
      for (const piece of pieces) await file.writeFile(piece)
    })
  } catch (cause) {
    if (errorCode(cause) !== undefined) throw cause
    throw new SptError('ERR_DATA', `${path}: cannot be written (${reason(cause)})`, { cause })
  }
}

/** An array out of the bytes of a .npy file, of which there are `size`. */
export async function readNpyFrom(where: string, bytes: ByteReader, size: number): Promise<Tensor> {
  const { type, bigEndian, fortranOrder, shape, before } = await readNpyHeader(where, bytes, size)
  const data = await bytes.take(size - before)
  await bytes.end()
  if (bigEndian) swapBytes(data, type.size)
  const make = (sizes: number[]): Tensor => type.make(data, sizes, where)
  if (!fortranOrder || shape.length < 2) return make(shape)
  const reversed = shape.map((_, axis) => shape.length - 1 - axis)
  return scope(() => make(shape.toReversed()).permute(reversed).contiguous())
}

/** What a .npy file of `size` bytes holds, of which `before` come before the elements. ERR_DATA where these do not fit. */
export async function readNpyHeader(
  where: string,
  bytes: ByteReader,
  size: number,
): Promise<NpyHeader & { before: number }> {
  if (size < 10) throw dataCorrupt(where, `${size} bytes are too few for a .npy file`)
  const start = await bytes.take(8)
  if (!magic.every((byte, index) => start[index] === byte)) throw dataCorrupt(where, 'is no .npy file')
  const version = start[6] as number
  if (version < 1 || version > 3) throw dataCorrupt(where, `has format version ${version}, this reads 1 to 3`)
  const lengthBytes = await bytes.take(version === 1 ? 2 : 4)
  const view = new DataView(lengthBytes.buffer)
  const length = version === 1 ? view.getUint16(0, true) : view.getUint32(0, true)
  const before = 8 + lengthBytes.length + length
  if (length > headerLimit || before > size) {
    throw dataCorrupt(where, `is cut off or no .npy file: a header of ${length} bytes in ${size}`)
  }
  const text = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(await bytes.take(length))
  const header = parseHeader(where, text)
  const { type, shape } = header
  const expected = shape.reduce((product, count) => product * count, type.size)
  if (size - before !== expected) {
    throw dataCorrupt(
      where,
      `has ${size - before} bytes of data, ${type.name} of its shape [${shape.join(', ')}] needs ${expected}`,
    )
  }
  return { ...header, before }
}

/** The pieces of a .npy file with this tensor. */
export async function npyBytes(tensor: Tensor): Promise<[header: Uint8Array, data: Uint8Array]> {
  const descr = descriptions[tensor.dtype as DType]
  if (descr === undefined) {
    throw unsupported(
      'writeNpy',
      `NumPy has no type ${tensor.dtype}`,
      "Convert it with .to('float32'), which is exact.",
    )
  }
  const shape = tensor.shape.length === 1 ? `(${tensor.shape[0]},)` : `(${tensor.shape.join(', ')})`
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`
  // The data begin at a multiple of 64 bytes and the header ends with a new line, as the format asks.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10
  if (length > 0xffff) throw unsupported('writeNpy', `a shape of ${tensor.ndim} axes does not fit the header`)
  const header = new Uint8Array(10 + length).fill(0x20)
  header.set([...magic, 1, 0, length & 0xff, length >> 8])
  header.set(new TextEncoder().encode(text), 10)
  header[header.length - 1] = 0x0a
  return [header, await bytesOf(tensor)]
}

/** "\x93NUMPY" */
const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] as const

/** The most bytes a header may have; those of plain arrays have a few hundred. */
const headerLimit = 2 ** 20

const descriptions: Partial<Record<DType, string>> = {
  float32: '<f4',
  float16: '<f2',
  float64: '<f8',
  int64: '<i8',
  uint8: '|u1',
  bool: '|b1',
}

export interface NpyType {
  name: string
  size: number
  make(bytes: Uint8Array<ArrayBuffer>, shape: number[], where: string): Tensor
}

const integers = (name: string, size: number, view: (buffer: ArrayBuffer) => Iterable<number>): NpyType => ({
  name,
  size,
  make: ({ buffer }, shape) => hostTensor(BigInt64Array.from(view(buffer), BigInt), shape),
})

/** NumPy's kind and size of an element. */
const types: Readonly<Record<string, NpyType>> = {
  f2: {
    name: 'float16',
    size: 2,
    make: ({ buffer }, shape) => fromHalfBits(new Uint16Array(buffer), shape, 'float16'),
  },
  f4: { name: 'float32', size: 4, make: ({ buffer }, shape) => hostTensor(new Float32Array(buffer), shape) },
  f8: { name: 'float64', size: 8, make: ({ buffer }, shape) => hostTensor(new Float64Array(buffer), shape) },
  i1: integers('int8', 1, (buffer) => new Int8Array(buffer)),
  i2: integers('int16', 2, (buffer) => new Int16Array(buffer)),
  i4: integers('int32', 4, (buffer) => new Int32Array(buffer)),
  i8: { name: 'int64', size: 8, make: ({ buffer }, shape) => hostTensor(new BigInt64Array(buffer), shape) },
  u1: { name: 'uint8', size: 1, make: (bytes, shape) => hostTensor(bytes, shape) },
  u2: integers('uint16', 2, (buffer) => new Uint16Array(buffer)),
  u4: integers('uint32', 4, (buffer) => new Uint32Array(buffer)),
  u8: {
    name: 'uint64',
    size: 8,
    make({ buffer }, shape, where) {
      const large = new BigUint64Array(buffer).find((value) => value >= 2n ** 63n)
      if (large !== undefined) throw dataCorrupt(where, `holds ${large}, and int64 ends at 2⁶³ − 1`)
      return hostTensor(new BigInt64Array(buffer), shape)
    },
  },
  b1: {
    name: 'bool',
    size: 1,
    make(bytes, shape, where) {
      const neither = bytes.find((value) => value > 1)
      if (neither !== undefined) throw dataCorrupt(where, `its type is bool, and it holds the byte ${neither}`)
      return hostTensor(bytes, shape, 'bool')
    },
  },
}

export interface NpyHeader {
  type: NpyType
  bigEndian: boolean
  fortranOrder: boolean
  shape: number[]
}

/** `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, a literal of Python with these three keys. */
function parseHeader(where: string, text: string): NpyHeader {
  const wrong = (): SptError =>
    dataCorrupt(where, `its header is malformed: ${JSON.stringify(text.trim().slice(0, 120))}`)
  const inner = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1]
  if (inner === undefined) throw wrong()
  const fields = new Map<string, string>()
  const field =
    /\s*(['"])(descr|fortran_order|shape)\1\s*:\s*('[^']*'|"[^"]*"|True|False|\([^()]*\)|\[.*\])\s*(?:,\s*|$)/sy
  while (field.lastIndex < inner.trimEnd().length) {
    const [, , key, value] = field.exec(inner) ?? []
    if (key === undefined || value === undefined || fields.has(key)) throw wrong()
    fields.set(key, value)
  }
  const [descr, order, shape] = [fields.get('descr'), fields.get('fortran_order'), fields.get('shape')]
  if (descr === undefined || shape === undefined || (order !== 'True' && order !== 'False')) throw wrong()
  const sizes = /^\((.*)\)$/s
    .exec(shape)?.[1]
    ?.split(',')
    .map((size) => size.trim())
  // A tuple may end with a comma, and one of a single item has to.
  if (sizes?.at(-1) === '') sizes.pop()
  const counts = sizes?.map((size) => (/^\d+L?$/.test(size) ? Number.parseInt(size, 10) : NaN))
  if (counts === undefined || !counts.every((count) => Number.isSafeInteger(count))) throw wrong()
  return { ...parseType(where, descr), fortranOrder: order === 'True', shape: counts }
}

function parseType(where: string, descr: string): { type: NpyType; bigEndian: boolean } {
  const [, order, kind] = /^['"]([<>|=]?)([a-zA-Z]\d+)['"]$/.exec(descr) ?? []
  const type = kind !== undefined && Object.hasOwn(types, kind) ? types[kind] : undefined
  if (type === undefined) {
    const hint = /O/.test(descr) ? 'Arrays of objects are pickles.' : `Known: ${Object.keys(types).join(', ')}.`
    throw unsupported(where, `the type ${descr.slice(0, 80)} cannot be read`, hint)
  }
  return { type, bigEndian: order === '>' && type.size > 1 }
}

function swapBytes(bytes: Uint8Array, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (size === 2) buffer.swap16()
  else if (size === 4) buffer.swap32()
  else buffer.swap64()
}
