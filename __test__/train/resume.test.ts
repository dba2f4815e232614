/** Whole runs in processes of their own: equal to themselves, stopped in every way, and gone on with. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadCheckpoint } from '../../src/train/checkpoint.js'
import { gpuAdapters, scope } from '../../src/tensor/index.js'
import { type Finished, fixtures, spt, start } from '../cli/process.js'

const config = join(fixtures, 'runs', 'simclr.yaml')
const LIMIT = 300_000

let folder: string
let whole: Finished
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-runs-'))
  whole = await spt(['run', config, `cache_dir=${join(folder, 'whole')}`])
}, LIMIT)
afterAll(async () => {
  await rm(folder, { recursive: true })
})

/** Starts a run, waits for step `step` in its metrics, sends `signal` and waits for the end. */
async function stopAt(step: number, signal: NodeJS.Signals, name: string, more: string[] = []): Promise<Finished> {
  const run = start(['run', config, `cache_dir=${join(folder, name)}`, ...more])
  while ((await lastStep(run.directory())) < step) {
    if (run.process.exitCode !== null) throw new Error(`ended before step ${step}:\n${run.output()}`)
    await sleep(5)
  }
  run.process.kill(signal)
  return run.end
}

async function lastStep(directory: string | undefined): Promise<number> {
  if (directory === undefined) return 0
  const lines = (await readFile(join(directory, 'metrics.csv'), 'utf8').catch(() => '')).trim().split('\n')
  return Number(lines.at(-1)?.split(',')[1]) || 0
}

const resume = (directory: string, more: string[] = []): Promise<Finished> =>
  spt(['run', '--resume', directory, ...more])

/** Everything a run's result consists of, and nothing of when and where it ran. */
async function result(directory: string): Promise<Record<string, string>> {
  const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  const { weights, state } = await loadCheckpoint(join(directory, 'checkpoints', 'last.ckpt'))
  const found: Record<string, string> = { metrics: await readFile(join(directory, 'metrics.csv'), 'utf8') }
  for (const [name, tensor] of weights) {
    const values = await tensor.data()
    found[name] = digest(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  found['state'] = digest(await readFile(join(directory, 'checkpoints', 'last.ckpt')))
  expect(state['trainer']).toMatchObject({ step: 100 })
  return found
}

describe('a run of 100 steps', () => {
  test('ends well and leaves its files', async () => {
    expect(whole.output).toContain('untrained')
    expect(whole.status).toBe(0)
    expect(await readdir(whole.directory)).toEqual(
      expect.arrayContaining([
        'checkpoints',
        'config.yaml',
        'environment.json',
        'metrics.csv',
        'metrics.jsonl',
        'report.html',
      ]),
    )
  })

  test(
    'equals itself bit for bit, with one loader worker and with four',
    async () => {
      for (const workers of [1, 4]) {
        const again = await spt([
          'run',
          config,
          `data.num_workers=${workers}`,
          `cache_dir=${join(folder, `w${workers}`)}`,
        ])
        expect(await scope(() => result(again.directory))).toEqual(await scope(() => result(whole.directory)))
      }
    },
    LIMIT,
  )

  test.each<[NodeJS.Signals, number | null]>([
    ['SIGKILL', null],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])(
    'stopped by %s at step 50 and resumed equals the one that was not',
    async (signal, status) => {
      const stopped = await stopAt(50, signal, signal)
      expect(stopped.status).toBe(status)
      const told = stopped.output.includes(`spt run --resume ${stopped.directory}`)
      expect(told).toBe(status !== null)
      const resumed = await resume(stopped.directory)
      expect(resumed.status).toBe(0)
      expect(await scope(() => result(stopped.directory))).toEqual(await scope(() => result(whole.directory)))
    },
    LIMIT,
  )

  test.each<[string, string[]]>([
    ['of a ResNet-18', ['backbone=resnet18', 'trainer.checkpoint_every_n_steps=20']],
    ...(gpuAdapters().length > 0 ? ([['on a GPU', ['device=gpu']]] satisfies Array<[string, string[]]>) : []),
  ])(
    '%s, killed at step 50 and resumed, equals the one that was not',
    async (name, more) => {
      const reference = await spt(['run', config, `cache_dir=${join(folder, name)}`, ...more])
      const stopped = await stopAt(50, 'SIGKILL', `${name}, killed`, more)
      expect((await resume(stopped.directory)).status).toBe(0)
      expect(await scope(() => result(stopped.directory))).toEqual(await scope(() => result(reference.directory)))
    },
    LIMIT,
  )

  test(
    'killed at any moment leaves a checkpoint that can be read',
    async () => {
      // Saving after every step, most moments are within a save.
      const every = [
        'trainer.checkpoint_every_n_steps=1',
        'trainer.max_steps=100000',
        'trainer.limit_train_batches=1000',
      ]
      for (const extra of [0, 7, 23, 41]) {
        const run = start(['run', config, `cache_dir=${join(folder, `any${extra}`)}`, ...every])
        while (
          run.directory() === undefined ||
          !existsSync(join(run.directory() as string, 'checkpoints', 'last.ckpt'))
        ) {
          if (run.process.exitCode !== null) throw new Error(run.output())
          await sleep(5)
        }
        await sleep(200 + extra)
        run.process.kill('SIGKILL')
        const { directory } = await run.end
        const loaded = await scope(() =>
          loadCheckpoint(join(directory, 'checkpoints', 'last.ckpt')).then(({ state }) => state['trainer']),
        )
        expect((loaded as { step: number }).step).toBeGreaterThan(0)
      }
    },
    LIMIT,
  )
})

describe('a run that cannot be gone on with says why', () => {
  test.each<[string, (checkpoint: string) => Promise<void>]>([
    ['because its checkpoint is cut short', async (path) => writeFile(path, (await readFile(path)).subarray(0, 5000))],
    ['because its checkpoint is missing', (path) => rm(path)],
  ])(
    '%s',
    async (_name, damage) => {
      const stopped = await stopAt(10, 'SIGTERM', `damaged${Math.random()}`)
      const metrics = await readFile(join(stopped.directory, 'metrics.csv'), 'utf8')
      await damage(join(stopped.directory, 'checkpoints', 'last.ckpt'))
      const resumed = await resume(stopped.directory)
      expect(resumed.status).toBeGreaterThan(0)
      expect(resumed.output).toContain('ERR_CHECKPOINT')
      expect(await readFile(join(stopped.directory, 'metrics.csv'), 'utf8')).toBe(metrics)
    },
    LIMIT,
  )

  test(
    'because the loss is no number: the checkpoint before it stays',
    async () => {
      const broken = await spt([
        'run',
        config,
        `cache_dir=${join(folder, 'nan')}`,
        'optimizer.lr=1e30',
        'scheduler.start_factor=1',
      ])
      expect(broken.status).toBeGreaterThan(0)
      expect(broken.output).toMatch(/ERR_NONFINITE/)
      expect(broken.output).toMatch(/step \d+/)
    },
    LIMIT,
  )
})
