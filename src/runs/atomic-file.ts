/**
 * Files that are there completely or not at all, whenever the process or the machine stops.
 * Written aside, flushed to the disk, renamed over the target; then the folder is flushed so that the name survives too.
 * What cannot be written is an ERR_CHECKPOINT that names the file.
 */
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileUnwritable } from '../errors.js'

/** Replaces or creates `path`. On any error the old file is untouched and nothing is left beside it. */
export async function writeFileAtomically(path: string, data: string | Uint8Array): Promise<void> {
  await replaceFile(path, async (file) => {
    await file.writeFile(data)
  })
}

/** As `writeFileAtomically`, for a file written in pieces: `write` gets the open temporary file. */
export async function replaceFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = dirname(path)
  const aside = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await mkdir(folder, { recursive: true })
    const file = await open(aside, 'wx')
    try {
      await write(file)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(aside, path)
    await flushFolder(folder)
  } catch (error) {
    await rm(aside, { force: true }).catch(() => undefined)
    throw isSystemError(error) ? fileUnwritable(path, error) : error
  }
}

/** Adds text to the end of a file: for logs, whose last line may be cut off when the machine stops. */
export async function appendToFile(path: string, text: string): Promise<void> {
  try {
    await appendFile(path, text)
  } catch (error) {
    throw fileUnwritable(path, error)
  }
}

/** Removes what a process that was killed left half-written in a folder; nobody else may be writing there. */
export async function removeHalfWritten(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^\..+\.[0-9a-f]{12}\.tmp$/.test(name))
  for (const name of names) await rm(join(folder, name), { force: true })
}

const isSystemError = (error: unknown): boolean => error instanceof Error && 'syscall' in error

/** Makes renames in a folder durable. Windows cannot open folders for this and does not need it. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
