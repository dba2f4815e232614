/**
 * safetensors files: tensors by name and string metadata, read and written one tensor at a time.
 * It is not the checkpoint: what goes into one is decided in `train`.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { checkpointCorrupt, checkpointMissing, reason } from '../errors.js'
import { fromHalfBits, type Tensor } from '../native.js'
import { replaceFile } from '../runs/atomic-file.js'
import { bytesOf } from './bytes.js'
import { hostTensor } from './host.js'
import { headerLength, layoutHeader, parseHeader, type SafetensorsEntry } from './safetensors-header.js'

export type { SafetensorsEntry } from './safetensors-header.js'

export interface Safetensors {
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
}

/**
 * An open file; tensors are read when they are asked for, F16 and BF16 as such, integers other than U8 as int64: no value
 * changes.
 */
export class SafetensorsReader {
  readonly path: string
  readonly entries: Map<string, SafetensorsEntry>
  readonly metadata: Record<string, string>
  private readonly file: FileHandle
  private readonly dataStart: number

  private constructor(
    path: string,
    file: FileHandle,
    { entries, metadata }: Pick<SafetensorsReader, 'entries' | 'metadata'>,
    dataStart: number,
  ) {
    this.path = path
    this.file = file
    this.entries = entries
    this.metadata = metadata
    this.dataStart = dataStart
  }

  /**
   * @throws ERR_CHECKPOINT when the file is missing, cut off, or no safetensors file; ERR_UNSUPPORTED for a type that no
   *   tensor has, such as F8_E4M3.
   */
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

  /** @throws ERR_CHECKPOINT when there is no such tensor, or the file was cut off after it was opened. */
  async read(name: string): Promise<Tensor> {
    const entry = this.entries.get(name)
    if (!entry)
      throw checkpointCorrupt(this.path, `no tensor "${name}"`, `It has: ${[...this.entries.keys()].join(', ')}.`)
    const [begin, end] = entry.offsets
    return decode(
      `${this.path}: tensor "${name}"`,
      await readAt(this.path, this.file, this.dataStart + begin, end - begin),
      entry,
    )
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

/**
 * Reads all tensors of a file, one after the other.
 *
 * @throws ERR_CHECKPOINT when it is missing, cut off, or no safetensors file.
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const reader = await SafetensorsReader.open(path)
  try {
    const tensors = new Map<string, Tensor>()
    for (const name of reader.entries.keys()) tensors.set(name, await reader.read(name))
    return { tensors, metadata: reader.metadata }
  } finally {
    await reader.close()
  }
}

/** Reads tensors from bytes in memory; `where` names them in errors. @throws ERR_CHECKPOINT as `readSafetensors`. */
export function parseSafetensors(bytes: Uint8Array, where = 'safetensors data'): Safetensors {
  const length = headerLength(where, bytes.subarray(0, 8), bytes.length)
  const { entries, metadata } = parseHeader(where, bytes.subarray(8, 8 + length), bytes.length - 8 - length)
  const tensors = new Map<string, Tensor>()
  for (const [name, entry] of entries) {
    const [begin, end] = entry.offsets
    // A copy, so that it is aligned for any type (a Buffer's own slice would be a view).
    const own = new Uint8Array(bytes.subarray(8 + length + begin, 8 + length + end))
    tensors.set(name, decode(`${where}: tensor "${name}"`, own, entry))
  }
  return { tensors, metadata }
}

/**
 * Writes tensors to a file that appears whole: it is written aside, flushed to the disk, then renamed. At most one
 * tensor is copied at a time. `metadata` are strings by name; PyTorch's tools expect `{ format: 'pt' }`.
 *
 * @throws ERR_CHECKPOINT when it cannot be written; an old file is untouched then.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | Record<string, Tensor>,
  { metadata = {} }: { metadata?: Record<string, string> } = {},
): Promise<void> {
  const named: ReadonlyMap<string, Tensor> = tensors instanceof Map ? tensors : new Map(Object.entries(tensors))
  const { header, order } = layoutHeader(named, metadata)
  await replaceFile(path, async (file) => {
    await file.writeFile(header)
    for (const name of order) await file.writeFile(await bytesOf(named.get(name) as Tensor))
  })
}

/** `bytes` own their buffer. */
function decode(where: string, bytes: Uint8Array<ArrayBuffer>, { dtype, shape }: SafetensorsEntry): Tensor {
  const { buffer } = bytes
  switch (dtype) {
    case 'F32':
      return hostTensor(new Float32Array(buffer), shape)
    case 'F64':
      return hostTensor(new Float64Array(buffer), shape)
    case 'F16':
      return fromHalfBits(new Uint16Array(buffer), shape, 'float16')
    case 'BF16':
      return fromHalfBits(new Uint16Array(buffer), shape, 'bfloat16')
    case 'I64':
      return hostTensor(new BigInt64Array(buffer), shape)
    case 'I32':
      return hostTensor(BigInt64Array.from(new Int32Array(buffer), BigInt), shape)
    case 'I16':
      return hostTensor(BigInt64Array.from(new Int16Array(buffer), BigInt), shape)
    case 'I8':
      return hostTensor(BigInt64Array.from(new Int8Array(buffer), BigInt), shape)
    case 'U32':
      return hostTensor(BigInt64Array.from(new Uint32Array(buffer), BigInt), shape)
    case 'U16':
      return hostTensor(BigInt64Array.from(new Uint16Array(buffer), BigInt), shape)
    case 'BOOL': {
      const neither = bytes.find((value) => value > 1)
      if (neither !== undefined) throw checkpointCorrupt(where, `its type is BOOL, and it holds the byte ${neither}`)
      return hostTensor(bytes, shape, 'bool')
    }
    default:
      return hostTensor(bytes, shape)
  }
}

/** The most bytes one read may ask for; the system's limit is just under 2 GiB. */
const readLimit = 2 ** 30

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
    const { bytesRead } = await file
      .read(bytes, done, Math.min(length - done, readLimit), position + done)
      .catch((cause: unknown) => {
        throw checkpointCorrupt(path, `cannot be read (${reason(cause)})`)
      })
    if (bytesRead === 0) throw checkpointCorrupt(path, `is cut off: ${length - done} bytes are missing`)
    done += bytesRead
  }
  return bytes
}
