/** The build on a machine that lacks what it needs: one sentence with the remedy. */
import { cp, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root, startScript } from '../cli/process.js'

test('without Rust, the build says so in one sentence and fails', { timeout: 60_000 }, async () => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-build-')))
  for (const path of ['scripts/build.ts', 'package.json', 'Cargo.toml', 'Cargo.lock'])
    await cp(join(root, path), join(folder, path))
  const env = { PATH: folder, Path: folder } // nothing is found there
  const { status, output } = await startScript(join(folder, 'scripts/build.ts'), ['native'], { cwd: folder, env }).end
  expect({ status, output: output.trim() }).toEqual({
    status: 1,
    output:
      'Rust is missing, and the native core has to be built with it: install it from https://rustup.rs and run this again.',
  })
  await rm(folder, { recursive: true })
})
