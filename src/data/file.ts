/** Reading a whole data file, packed by gzip or not; each failure is an ERR_DATA that names the file. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { SptError, dataCorrupt, dataMissing, reason } from '../errors.js'

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
