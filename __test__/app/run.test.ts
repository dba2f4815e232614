import { mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { resumeRun, startRun } from '../../src/app/run.js'

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url))

let folder: string
let config: string
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-run-')))
  config = join(folder, 'tiny.yaml')
  await writeFile(
    config,
    `seed: 3
cache_dir: ${folder}
data:
  batch_size: 4
  train: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: random-resized-crop, size: 8}}
  val: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: resize, size: [8, 8]}}
backbone: ${fixtures}/plugins/tiny-backbone.ts
method: {type: ${fixtures}/plugins/tiny-method.ts, length: 2}
optimizer: {type: SGD, lr: 0.05, momentum: 0.9}
logger: csv
trainer: {max_epochs: 2, log_every_n_steps: 1}
`,
  )
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
})
afterAll(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

test('a configuration becomes a run with a folder of its own', async () => {
  const { status, runDirectory, checkpoint, metrics } = await startRun(config)
  expect(status).toBe('completed')
  expect(dirname(dirname(dirname(runDirectory)))).toBe(join(folder, 'runs'))
  expect(await readdir(runDirectory)).toEqual([
    'checkpoints',
    'config.yaml',
    'environment.json',
    'metrics.csv',
    'run.json',
    'summary.json',
  ])
  expect(checkpoint).toBe(join(runDirectory, 'checkpoints', 'last.ckpt'))
  expect(metrics['fit/loss']).toEqual(expect.any(Number))
  expect(parse(await readFile(join(runDirectory, 'config.yaml'), 'utf8'))).toMatchObject({
    seed: 3,
    optimizer: { type: 'SGD', lr: 0.05, momentum: 0.9, weight_decay: 0, nesterov: false },
    trainer: { max_epochs: 2, precision: '32-true' },
    logger: [{ type: 'csv', file: 'metrics.csv' }],
  })
})

test('the same seed gives the same metrics, another seed others', async () => {
  const metrics = async (...overrides: string[]) => {
    const { runDirectory } = await startRun(config, overrides)
    return readFile(join(runDirectory, 'metrics.csv'), 'utf8')
  }
  const first = await metrics()
  expect(await metrics('data.num_workers=3')).toBe(first)
  expect(await metrics('seed=4')).not.toBe(first)
})

test('a run that was interrupted in the middle of an epoch and resumed equals one that was not', async () => {
  const stopping = `callbacks=[{type: ${fixtures}/plugins/stop-at.ts, step: 6}]`
  const stopped = await startRun(config, [stopping])
  expect(stopped.status).toBe('interrupted')
  const resumed = await resumeRun(stopped.runDirectory)
  const whole = await startRun(config)
  expect(resumed).toMatchObject({ status: 'completed', runDirectory: stopped.runDirectory, metrics: whole.metrics })
  const metrics = ({ runDirectory }: { runDirectory: string }) => readFile(join(runDirectory, 'metrics.csv'), 'utf8')
  expect(await metrics(resumed)).toBe(await metrics(whole))
})

test('a finished run can be gone on with for longer', async () => {
  const short = await startRun(config)
  const { status } = await resumeRun(short.runDirectory, ['trainer.max_epochs=3'])
  expect(status).toBe('completed')
  const [head, ...rows] = (await readFile(join(short.runDirectory, 'metrics.csv'), 'utf8')).trim().split('\n')
  expect(rows.at(-1)).toMatch(/^2,12,/)
  // The schedule is stretched to the new length: no step is wasted at the rate 0 of its former end.
  const rate = head!.split(',').indexOf('hparams/lr_default_0')
  const rates = rows.map((row) => row.split(',')[rate]).filter(Boolean)
  expect(Number(rates.at(-2))).toBeCloseTo(0.025 * (1 + Math.cos((Math.PI * 11) / 12)), 12)
  // What was changed holds from now on.
  const kept = parse(await readFile(join(short.runDirectory, 'config.yaml'), 'utf8')) as { trainer: object }
  expect(kept.trainer).toMatchObject({ max_epochs: 3 })
})

test('a plugin that cannot be built is named, and no folder is left of the attempt', async () => {
  const runs = () => readdir(join(folder, 'runs'), { recursive: true }).catch(() => [])
  const before = await runs()
  const failed = startRun(config, ['data.train.dataset.root=nowhere'])
  await expect(failed).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/^dataset "image-folder" could not be built: .*nowhere/),
  })
  expect(await runs()).toEqual(before)
})

test('a target of another library finds the plugin that answers to it', async () => {
  const { status } = await startRun(config, [
    `plugins=[${fixtures}/plugins/tiny-backbone.ts]`,
    'backbone={_target_: tests.TinyBackbone, dim: 6}',
    'optimizer={_target_: torch.optim.SGD, lr: 0.1, _partial_: true}',
  ])
  expect(status).toBe('completed')
})

test('a method that needs two views says so before anything is trained, with the transform to write', async () => {
  const runs = () => readdir(join(folder, 'runs'), { recursive: true }).catch(() => [])
  const before = await runs()
  await expect(startRun(config, ['method=byol'])).rejects.toMatchObject({
    code: 'ERR_CONFIG',
    message: 'method byol needs 2 views of each training image, but data.train makes 1',
    hint: expect.stringContaining('data.train.transform: {type: byol, size: …}') as string,
  })
  await expect(startRun(config, ['method=lejepa'])).rejects.toMatchObject({
    message: expect.stringContaining('needs crops of several sizes') as string,
  })
  expect(await runs()).toEqual(before)
})

test('batches are mixed by the configuration, and a transform of batches is refused among those of samples', async () => {
  const mixed = 'data.train.batch_transform=[{type: random-mixup-cutmix, num_classes: 3}]'
  expect((await startRun(config, [mixed, 'trainer.max_epochs=1'])).status).toBe('completed')
  const wrong = 'data.train.transform=[{type: random-mixup-cutmix, num_classes: 3}]'
  await expect(startRun(config, [wrong])).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED',
    message: expect.stringContaining('whole batches'),
  })
})
