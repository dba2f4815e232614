/**
 * The header of a safetensors file: a length, then JSON that says where each tensor's bytes lie. Checked completely, so
 * that whoever reads the data afterwards can trust it; it reads no tensors.
 */
import { argumentInvalid, checkpointCorrupt, reason, unsupported } from '../errors.js'
import type { Tensor } from '../native.js'
import type { DType } from './create.js'

export interface SafetensorsEntry {
  /** The type in the file: F64, F32, F16, BF16, I64, I32, I16, I8, U32, U16, U8 or BOOL. */
  dtype: string
  shape: number[]
  /** Bytes from the start of the data, [begin, end). */
  offsets: [number, number]
}

export interface SafetensorsHeader {
  entries: Map<string, SafetensorsEntry>
  metadata: Record<string, string>
}

/** Bytes an element takes, of the types that can be read. */
export const elementSizes: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  U8: 1,
  I8: 1,
  BOOL: 1,
}

/** The types of the format that no tensor of ours can hold. */
const known = ['U64', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ', 'F4', 'F6_E2M3', 'F6_E3M2', 'C64']

const names: Record<DType, string> = {
  float32: 'F32',
  float64: 'F64',
  bfloat16: 'BF16',
  float16: 'F16',
  int64: 'I64',
  uint8: 'U8',
  bool: 'BOOL',
}

/** The most bytes a header may have: what the reference implementation accepts. */
const headerLimit = 100_000_000

/** The length of the JSON, from the first eight bytes of a file of `fileSize` bytes. */
export function headerLength(path: string, start: Uint8Array, fileSize: number): number {
  if (start.length < 8) throw checkpointCorrupt(path, `${fileSize} bytes are too few for a safetensors file`)
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true))
  if (length > headerLimit || length + 8 > fileSize) {
    throw checkpointCorrupt(path, `is cut off or no safetensors file: a header of ${length} bytes in ${fileSize}`)
  }
  return length
}

/** The entries in the file's order. `dataSize`: bytes that follow the header. */
export function parseHeader(path: string, bytes: Uint8Array, dataSize: number): SafetensorsHeader {
  let text: string
  let json: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    json = JSON.parse(text)
  } catch (cause) {
    throw checkpointCorrupt(path, `its safetensors header is not JSON (${reason(cause)})`)
  }
  if (!isObject(json)) throw checkpointCorrupt(path, 'its safetensors header is not an object')
  const repeated = repeatedKey(text)
  if (repeated !== undefined) throw checkpointCorrupt(path, `its header names ${JSON.stringify(repeated)} twice`)
  const { __metadata__: metadata = {}, ...rest } = json
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw checkpointCorrupt(path, 'its metadata are not strings by name')
  }
  const entries = new Map<string, SafetensorsEntry>()
  for (const [name, value] of Object.entries(rest)) entries.set(name, checkEntry(path, name, value, dataSize))
  checkCoverage(path, entries, dataSize)
  return { entries, metadata: metadata as Record<string, string> }
}

/**
 * The header's bytes for these tensors, and their names in the order of their data: wide types first, so that all of
 * them are aligned.
 */
export function layoutHeader(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Record<string, string>,
): { header: Uint8Array; order: string[] } {
  if (tensors.has('__metadata__')) {
    throw argumentInvalid('writeSafetensors: tensors', 'other names: the format keeps this one', '__metadata__')
  }
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

function width(tensor: Tensor): number {
  const size = elementSizes[names[tensor.dtype as DType]]
  if (size === undefined) throw unsupported('writeSafetensors', `tensors of type ${tensor.dtype} have no name there`)
  return size
}

function checkEntry(path: string, name: string, value: unknown, dataSize: number): SafetensorsEntry {
  const tensor = `tensor ${JSON.stringify(name)}`
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>
  if (typeof dtype === 'string' && known.includes(dtype)) {
    throw unsupported(`${path}: ${tensor}`, `its type ${dtype} cannot be read`, 'Convert it to F32 where it was made.')
  }
  const size = typeof dtype === 'string' && Object.hasOwn(elementSizes, dtype) ? elementSizes[dtype] : undefined
  if (size === undefined) throw checkpointCorrupt(path, `${tensor} has the unknown type ${JSON.stringify(dtype)}`)
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw checkpointCorrupt(path, `${tensor} has a malformed entry in the header: ${brief(value)}`)
  }
  const [begin = 0, end = 0] = offsets
  if (end > dataSize || begin > end) {
    throw checkpointCorrupt(
      path,
      `is cut off: ${tensor} has bytes ${begin} to ${end} of the data, which has ${dataSize}`,
    )
  }
  const expected = shape.reduce((product, count) => product * count, size)
  if (end - begin !== expected) {
    throw checkpointCorrupt(
      path,
      `${tensor} has ${end - begin} bytes, ${dtype as string} of its shape [${shape.join(', ')}] needs ${expected}`,
    )
  }
  return { dtype: dtype as string, shape, offsets: [begin, end] }
}

/** The tensors' bytes follow each other without overlap or gap, and all data belongs to them, as the format demands. */
function checkCoverage(path: string, entries: ReadonlyMap<string, SafetensorsEntry>, dataSize: number): void {
  const inOrder = [...entries].toSorted(([, a], [, b]) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1])
  let position = 0
  let before = 'the start'
  for (const [name, { offsets }] of inOrder) {
    const [begin, end] = offsets
    if (begin !== position) {
      const tensor = `tensor ${JSON.stringify(name)} begins at byte ${begin} of the data`
      const why = begin < position ? `inside of ${before}, which ends at ${position}` : `${before} ends at ${position}`
      throw checkpointCorrupt(path, `${tensor}, ${why}`)
    }
    position = end
    before = `tensor ${JSON.stringify(name)}`
  }
  if (position !== dataSize) {
    throw checkpointCorrupt(path, `${dataSize - position} bytes after ${before} belong to no tensor`)
  }
}

/** The first name that stands twice in one object of valid JSON: JSON.parse would silently take the last. */
function repeatedKey(json: string): string | undefined {
  const keys: Array<Set<string>> = []
  let string = ''
  for (const [token] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/g)) {
    if (token === '{' || token === '[') keys.push(new Set())
    else if (token === '}' || token === ']') keys.pop()
    else if (token !== ':') string = token
    else {
      const name = JSON.parse(string) as string
      if (keys.at(-1)?.has(name)) return name
      keys.at(-1)?.add(name)
    }
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}

function brief(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
