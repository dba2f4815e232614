/** The suites of `benchmarks/suites`: every row is a valid configuration. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfig } from '../../src/app/config.js'
import { readSuite } from '../../src/app/suite.js'
import { root } from '../cli/process.js'

const suites = join(root, 'benchmarks', 'suites')

/** The epochs of each; masked images take more of their cheaper steps in `learning.yaml`. */
const epochs: Record<string, number[]> = { 'cifar10.yaml': [10], 'learning.yaml': [10, 30, 48, 64] }
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-suites-'))
})
afterAll(() => rm(folder, { recursive: true }))

test.each(await readdir(suites))('%s', async (file) => {
  const { rows } = await readSuite(join(suites, file))
  expect(rows.size).toBeGreaterThan(1)
  for (const [name, row] of rows) {
    const path = join(folder, `${name}.yaml`)
    await writeFile(path, stringify(row))
    const { config } = await loadConfig(path)
    expect(epochs[file]).toContain(config.trainer.maxEpochs)
  }
})
