import { spawn } from 'node:child_process'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const fixtures = here('../fixtures')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-signals-'))
  await writeFile(
    join(folder, 'endless.yaml'),
    `cache_dir: ${folder}
data:
  train:
    dataset: {type: image-folder, root: ${fixtures}/data/photos}
    batch_size: 4
    transform: {type: random-resized-crop, size: 8}
backbone: ${fixtures}/plugins/tiny-backbone.ts
method: ${fixtures}/plugins/tiny-method.ts
trainer: {max_epochs: 100000}
`,
  )
})
afterAll(() => rm(folder, { recursive: true }))

/** Starts a run in a process of its own and sends it a signal when it has trained for an epoch. */
function stopBy(signal: NodeJS.Signals): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const run = spawn(
      process.execPath,
      ['--import', 'tsx', here('../../src/cli/main.ts'), join(folder, 'endless.yaml')],
      {
        cwd: here('../..'),
      },
    )
    let output = ''
    let sent = false
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      if (!sent && /epoch 2/.test(output)) sent = run.kill(signal)
    }
    run.stdout.on('data', read)
    run.stderr.on('data', read)
    run.on('close', (status) => resolve({ status, output }))
  })
}

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s saves, says how to go on, and ends with status %i', { timeout: 120_000 }, async (signal, status) => {
  const stopped = await stopBy(signal)
  expect(stopped).toMatchObject({ status })
  const run = /go on with: spt run --resume (\S+)/.exec(stopped.output)?.[1]
  expect(run).toMatch(/^\//)
  await access(join(run!, 'checkpoints', 'last.ckpt'))
})
