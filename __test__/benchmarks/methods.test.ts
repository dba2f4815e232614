/** The recipes of `benchmarks/methods`: each is a valid configuration of a method that exists, and they run. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/app/config.js'
import { fixtures, root, spt } from '../cli/process.js'

const folder = join(root, 'benchmarks', 'methods')
const files = await readdir(folder)

let runs: string
beforeAll(async () => {
  runs = await mkdtemp(join(tmpdir(), 'spt-recipes-'))
})
afterAll(() => rm(runs, { recursive: true }))

test.each(files)('%s is valid, and named by its method', async (file) => {
  const { config } = await loadConfig(join(folder, file))
  expect(`${config.method.definition.name}.yaml`).toBe(file)
})

/** One with crops of two sizes, one with masks and a teacher, on photos in the layout of CIFAR-10's files. */
test.each(['msn.yaml', 'ijepa.yaml'])('%s runs', { timeout: 300_000 }, async (file) => {
  const data = ['train', 'val'].map(
    (part) => `data.${part}.dataset={type: cifar10, root: ${fixtures}/data, files: [photos-cifar10-layout.bin]}`,
  )
  const few = ['trainer.max_steps=2', 'trainer.limit_val_batches=1', 'data.train.batch_size=8', 'data.val.batch_size=8']
  const small = ['callbacks.0.images=16', 'callbacks.0.probe_steps=2', 'backbone.depth=1']
  const { status, output } = await spt(['run', join(folder, file), `cache_dir=${runs}`, ...data, ...few, ...small])
  expect({ status, output }).toEqual({ status: 0, output: expect.stringMatching(/last\.ckpt$/m) as string })
})
