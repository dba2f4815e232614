/** Where the tests of this folder find real images, and how they damage a copy of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

export const fixtures = fileURLToPath(new URL('../fixtures/data/', import.meta.url))

export const fixture = (...path: string[]) => join(fixtures, ...path)

/** A folder that is gone after the tests of the file. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'spt-data-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Writes bytes to a file in `folder` and gives its path. */
export async function written(folder: string, name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}
