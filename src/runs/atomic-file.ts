/**
 * Files that are there completely or not at all, whenever the process or the machine stops.
 * Written aside, flushed to the disk, renamed over the target; then the folder is flushed so that the name survives too.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** Replaces or creates `path`. On any error the old file is untouched and nothing is left beside it. */
export async function writeFileAtomically(path: string, data: string | Uint8Array): Promise<void> {
  await replaceFile(path, async (file) => {
    await file.writeFile(data)
  })
}

/** As `writeFileAtomically`, for a file written in pieces: `write` gets the open temporary file. */
export async function replaceFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = dirname(path)
  await mkdir(folder, { recursive: true })
  const aside = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const file = await open(aside, 'wx')
    try {
      await write(file)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
  await flushFolder(folder)
}

/** Makes renames in a folder durable. Windows cannot open folders for this and does not need it. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
