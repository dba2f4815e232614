/**
 * safetensors files: tensors by name and string metadata, read and written one tensor at a time.
 * It is not the checkpoint: what goes into one is decided in `train`.
 */
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { checkpointCorrupt, checkpointMissing, reason, SptError } from '../errors.js'
import { fromData, type Tensor } from '../native.js'
import type { DType } from './create.js'

export interface SafetensorsEntry {
  /** The type in the file: F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL. */
  dtype: string
  shape: number[]
  /** Bytes from the start of the data, [begin, end). */
  offsets: [number, number]
}

export interface Safetensors {
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
}

/** The data a file may hold at most in its header: what the reference implementation accepts. */
const headerLimit = 100_000_000

/** An open file; tensors are read when they are asked for. */
export class SafetensorsReader {
  readonly path: string
  readonly entries: Map<string, SafetensorsEntry>
  readonly metadata: Record<string, string>
  private readonly file: FileHandle
  private readonly dataStart: number

  private constructor(path: string, file: FileHandle, header: Header, dataStart: number) {
    this.path = path
    this.file = file
    this.entries = header.entries
    this.metadata = header.metadata
    this.dataStart = dataStart
  }

  /** @throws ERR_CHECKPOINT when the file is missing, cut off, or no safetensors file. */
  static async open(path: string): Promise<SafetensorsReader> {
    const file = await open(path, 'r').catch((cause: unknown) => {
      throw (cause as { code?: string }).code === 'ENOENT'
        ? checkpointMissing(path)
        : checkpointCorrupt(path, reason(cause))
    })
    try {
      const { size } = await file.stat()
      const length = headerLength(path, await readAt(path, file, 0, Math.min(8, size)), size)
      const header = parseHeader(path, await readAt(path, file, 8, length), size - 8 - length)
      return new SafetensorsReader(path, file, header, 8 + length)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** @throws ERR_CHECKPOINT when there is no such tensor. */
  async read(name: string): Promise<Tensor> {
    const entry = this.entries.get(name)
    if (!entry)
      throw checkpointCorrupt(this.path, `no tensor "${name}"`, `It has: ${[...this.entries.keys()].join(', ')}.`)
    const [begin, end] = entry.offsets
    return decode(await readAt(this.path, this.file, this.dataStart + begin, end - begin), entry)
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

/** Reads all tensors of a file. @throws ERR_CHECKPOINT when it is missing, cut off, or no safetensors file. */
export async function loadSafetensors(path: string): Promise<Safetensors> {
  const reader = await SafetensorsReader.open(path)
  try {
    const tensors = new Map<string, Tensor>()
    for (const name of reader.entries.keys()) tensors.set(name, await reader.read(name))
    return { tensors, metadata: reader.metadata }
  } finally {
    await reader.close()
  }
}

/** Reads tensors from bytes in memory; `where` names them in errors. */
export function parseSafetensors(bytes: Uint8Array, where = 'safetensors data'): Safetensors {
  const length = headerLength(where, bytes.subarray(0, 8), bytes.length)
  const { entries, metadata } = parseHeader(where, bytes.subarray(8, 8 + length), bytes.length - 8 - length)
  const tensors = new Map<string, Tensor>()
  for (const [name, entry] of entries) {
    const [begin, end] = entry.offsets
    // A copy, so that it is aligned for any type (a Buffer's own slice would be a view).
    const own = new Uint8Array(bytes.subarray(8 + length + begin, 8 + length + end))
    tensors.set(name, decode(own, entry))
  }
  return { tensors, metadata }
}

/**
 * Writes tensors to a file that appears whole: it is written aside, flushed to the disk, then renamed. At most one
 * tensor is copied at a time.
 */
export async function saveSafetensors(
  path: string,
  tensors: Map<string, Tensor> | Record<string, Tensor>,
  { metadata = {} }: { metadata?: Record<string, string> } = {},
): Promise<void> {
  const named = tensors instanceof Map ? tensors : new Map(Object.entries(tensors))
  const { header, order } = layout(named, metadata)
  const aside = `${path}.${process.pid}.partial`
  const file = await open(aside, 'w')
  try {
    await writeAll(file, header)
    for (const name of order) {
      const tensor = named.get(name)
      if (tensor) await writeAll(file, bytesOf(await tensor.data()))
    }
    await file.sync()
    await file.close()
    await rename(aside, path)
  } catch (cause) {
    await file.close().catch(() => undefined)
    await rm(aside, { force: true })
    if (cause instanceof SptError) throw cause
    throw new SptError('ERR_CHECKPOINT', `${path}: cannot be written (${reason(cause)})`, { cause })
  }
}

interface Header {
  entries: Map<string, SafetensorsEntry>
  metadata: Record<string, string>
}

const names: Record<DType, string> = { float32: 'F32', float64: 'F64', int64: 'I64', uint8: 'U8', bool: 'BOOL' }
const sizes: Record<string, number> = { F64: 8, I64: 8, F32: 4, I32: 4, F16: 2, BF16: 2, I16: 2, U8: 1, I8: 1, BOOL: 1 }

function headerLength(path: string, start: Uint8Array, fileSize: number): number {
  if (start.length < 8) throw checkpointCorrupt(path, `${fileSize} bytes are too few for a safetensors file`)
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true))
  if (length > headerLimit || length + 8 > fileSize) {
    throw checkpointCorrupt(path, `is cut off or no safetensors file: a header of ${length} bytes in ${fileSize}`)
  }
  return length
}

function parseHeader(path: string, bytes: Uint8Array, dataSize: number): Header {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw checkpointCorrupt(path, `its safetensors header is not JSON (${reason(cause)})`)
  }
  if (typeof json !== 'object' || json === null)
    throw checkpointCorrupt(path, 'its safetensors header is not an object')
  const { __metadata__: metadata = {}, ...rest } = json as Record<string, unknown>
  const entries = new Map<string, SafetensorsEntry>()
  for (const [name, value] of Object.entries(rest)) entries.set(name, checkEntry(path, name, value, dataSize))
  return { entries, metadata: metadata as Record<string, string> }
}

function checkEntry(path: string, name: string, value: unknown, dataSize: number): SafetensorsEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>
  const size = typeof dtype === 'string' ? sizes[dtype] : undefined
  if (size === undefined)
    throw checkpointCorrupt(path, `tensor "${name}" has the unknown type ${JSON.stringify(dtype)}`)
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw checkpointCorrupt(path, `tensor "${name}" has a malformed entry in the header`)
  }
  const [begin = 0, end = 0] = offsets
  const expected = shape.reduce((product, count) => product * count, size)
  if (end > dataSize || begin > end) {
    throw checkpointCorrupt(path, `is cut off: tensor "${name}" ends at byte ${end} of the data, which has ${dataSize}`)
  }
  if (end - begin !== expected) {
    throw checkpointCorrupt(
      path,
      `tensor "${name}" has ${end - begin} bytes, its shape [${shape.join(', ')}] needs ${expected}`,
    )
  }
  return { dtype: dtype as string, shape, offsets: [begin, end] }
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}

/** The header's bytes, and the tensors in the order of their data: wide types first, so that all of them are aligned. */
function layout(
  tensors: Map<string, Tensor>,
  metadata: Record<string, string>,
): { header: Uint8Array; order: string[] } {
  const width = (tensor: Tensor) => sizes[names[tensor.dtype as DType]] ?? 1
  const order = [...tensors].toSorted(([, a], [, b]) => width(b) - width(a)).map(([name]) => name)
  const offsets = new Map<string, [number, number]>()
  let position = 0
  for (const name of order) {
    const tensor = tensors.get(name) as Tensor
    const end = position + tensor.numel * width(tensor)
    offsets.set(name, [position, end])
    position = end
  }
  const entries = [...tensors].map(([name, tensor]) => [
    name,
    { dtype: names[tensor.dtype as DType], shape: tensor.shape, data_offsets: offsets.get(name) },
  ])
  const head = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : []
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries([...head, ...entries])))
  const padded = Math.ceil(json.length / 8) * 8
  const header = new Uint8Array(8 + padded).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true)
  header.set(json, 8)
  return { header, order }
}

function decode(bytes: Uint8Array, { dtype, shape }: SafetensorsEntry): Tensor {
  // A Node Buffer is a window on a larger array: typed arrays need one that begins and ends with these bytes.
  const whole = bytes.byteLength === bytes.buffer.byteLength
  const { buffer } = whole ? bytes : new Uint8Array(bytes)
  switch (dtype) {
    case 'F32':
      return fromData(new Float32Array(buffer), shape)
    case 'F64':
      return fromData(new Float64Array(buffer), shape)
    case 'I64':
      return fromData(new BigInt64Array(buffer), shape)
    case 'BOOL':
      return fromData(bytes, shape, 'bool')
    case 'F16':
      return fromData(Float32Array.from(new Uint16Array(buffer), halfToFloat), shape)
    case 'BF16':
      return fromData(bfloatToFloat(new Uint16Array(buffer)), shape)
    case 'I32':
      return fromData(BigInt64Array.from(new Int32Array(buffer), BigInt), shape)
    case 'I16':
      return fromData(BigInt64Array.from(new Int16Array(buffer), BigInt), shape)
    case 'I8':
      return fromData(BigInt64Array.from(new Int8Array(buffer), BigInt), shape)
    default:
      return fromData(bytes, shape)
  }
}

function bfloatToFloat(values: Uint16Array): Float32Array {
  const bits = Uint32Array.from(values, (value) => value << 16)
  return new Float32Array(bits.buffer)
}

/** IEEE binary16: 1 sign, 5 exponent and 10 mantissa bits. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa ? NaN : sign * Infinity
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}

/** A buffer of its own, so that it is aligned for any type. */
async function readAt(
  path: string,
  file: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw checkpointCorrupt(path, `is cut off: ${length - done} bytes are missing`)
    done += bytesRead
  }
  return bytes
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0
  while (done < bytes.length) done += (await file.write(bytes, done)).bytesWritten
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
