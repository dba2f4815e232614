/** The reference vectors of operations, losses, metrics and optimizers on a GPU, in float32. Needs an adapter. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readPack } from '../../scripts/golden/cases.js'
import { runCase } from '../../scripts/golden/run.js'
import { gpuAdapters, scope } from '../../src/tensor/index.js'

const folder = fileURLToPath(new URL('../fixtures/golden', import.meta.url))
const there = gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')

describe.skipIf(!there).each(['ops', 'losses', 'metrics', 'optim'])('%s', (group) => {
  const cases = readPack(join(folder, `${group}.br`))
  test.each(cases.map((given) => [given.name, given] as const))('%s', async (_, given) => {
    const { status, detail } = await scope(() => runCase(given, 'gpu'))
    expect(`${status}: ${detail}`).toMatch(/^passed/)
  })
})
