/** Reading data files, whole (packed by gzip or not) or piece by piece; each failure is an ERR_DATA that names the file. */
import { readFile, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { SptError, dataCorrupt, dataMissing, reason } from '../errors.js'
import { withFile } from '../interchange/byte-reader.js'

const unpack = promisify(gunzip)

/** More than this out of one gzip file is taken for a decompression bomb. */
const largestUnpacked = 2 ** 31

/** The bytes of `path`, unpacked if they begin as gzip does (whatever the name says). */
export async function readDataFile(path: string): Promise<Uint8Array> {
  const bytes = await readBytes(path)
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  try {
    return await unpack(bytes, { maxOutputLength: largestUnpacked })
  } catch (cause) {
    throw dataCorrupt(
      path,
      `expected a whole gzip file, found one that cannot be unpacked (${reason(cause)})`,
      damagedHint,
    )
  }
}

/** The bytes of `path` as they are. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (isMissing(cause))
      throw dataMissing(path, 'file', 'Check the path; relative paths start at the folder of the configuration.')
    throw new SptError('ERR_DATA', `${path}: cannot be read (${reason(cause)})`, { cause })
  }
}

/** Whether a file-system call failed because the path does not exist. */
export function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')
}

/** What to do about a damaged file. */
export const damagedHint = 'The file is damaged or was not copied whole: fetch it again.'

/** The first of `names` (paths below `folder`) that exists. ERR_DATA that lists them where none does. */
export async function existingFile(folder: string, names: readonly string[]): Promise<string> {
  for (const name of names) {
    const path = join(folder, name)
    const found = await stat(path).catch(() => undefined)
    if (found?.isFile()) return path
  }
  throw dataMissing(join(folder, names[0] ?? ''), 'file', `Looked in ${folder} for ${names.join(', ')}.`)
}

/** Bytes that are read piece by piece: a file, or memory. */
export interface ByteSource {
  /** Named in errors. */
  readonly path: string
  readonly size: number
  /** Exactly the bytes [begin, begin + length). ERR_DATA where they reach beyond the end. */
  read(begin: number, length: number): Promise<Uint8Array<ArrayBuffer>>
}

/** A file that is opened for each reading, so that a data set of thousands of shards holds no handles. */
export async function fileSource(path: string): Promise<ByteSource> {
  const size = await withFile(path, async (_, found) => found)
  return {
    path,
    size,
    async read(begin, length) {
      checkRange(path, size, begin, length)
      return withFile(path, (file) => readFrom(file, path, begin, length))
    },
  }
}

/** Runs `use` with a file that stays open meanwhile: for many small readings. */
export function withOpenSource<T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> {
  return withFile(path, async (file, size) =>
    use({
      path,
      size,
      async read(begin, length) {
        checkRange(path, size, begin, length)
        return readFrom(file, path, begin, length)
      },
    }),
  )
}

async function readFrom(
  file: FileHandle,
  path: string,
  begin: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, begin + done)
    if (bytesRead === 0) throw dataCorrupt(path, `ended at byte ${begin + done}: it was cut while it was read`)
    done += bytesRead
  }
  return bytes
}

/** Bytes that are in memory already. */
export function memorySource(path: string, bytes: Uint8Array): ByteSource {
  return {
    path,
    size: bytes.length,
    async read(begin, length) {
      checkRange(path, bytes.length, begin, length)
      return new Uint8Array(bytes.subarray(begin, begin + length))
    },
  }
}

function checkRange(path: string, size: number, begin: number, length: number): void {
  if (begin >= 0 && length >= 0 && begin + length <= size) return
  throw dataCorrupt(path, `expected bytes ${begin} to ${begin + length}, it has ${size}`, damagedHint)
}
