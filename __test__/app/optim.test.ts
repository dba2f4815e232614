/** Optimizers and schedulers from a configuration file: every form, every name, and where its mistakes are reported. */
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { loadConfig, type LoadedConfig } from '../../src/app/config.js'
import { runContainer, services, startRun } from '../../src/app/run.js'
import type { RunDirectory } from '../../src/runs/run-directory.js'
import { buildOptimizers, type OptimizerEntry } from '../../src/train/optimization.js'

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url))

const head = `seed: 3
data: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: resize, size: [8, 8]}, batch_size: 6}
backbone: ${fixtures}/plugins/tiny-backbone.ts
method: {type: ${fixtures}/plugins/tiny-method.ts, length: 2}
logger: csv
trainer: {max_epochs: 2, limit_val_batches: 0}
`

let folder: string
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-optim-')))
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
})
afterAll(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

async function load(optim: string): Promise<LoadedConfig> {
  const file = join(folder, 'run.yaml')
  await writeFile(file, `${head}cache_dir: ${folder}\n${optim}`)
  return loadConfig(file)
}

/** The optimizers of the configuration's module, as the trainer builds them, and what it prints. */
async function optimizers(optim: string): Promise<{ entries: OptimizerEntry[]; lines: string[] }> {
  const run = runContainer(await load(optim), { path: folder } as RunDirectory)
  const module = await run.get(services.module)
  const lines: string[] = []
  const length = { trainBatches: 3, maxEpochs: 2, maxSteps: Infinity, accumulateGradBatches: 1 }
  const entries = await buildOptimizers(module, module.optim, length, (line) => lines.push(line))
  await run.dispose()
  return { entries, lines }
}

const described = ({ name, optimizer, scheduler, frequency, monitor }: OptimizerEntry) => [
  name,
  optimizer.constructor.name,
  optimizer.groups[0]?.lr,
  scheduler?.constructor.name,
  frequency,
  monitor,
]

describe('one optimizer', () => {
  test.each([
    ['nothing: AdamW and a cosine', '', ['default_0', 'AdamW', 1e-3, 'CosineAnnealingLR', 1, undefined]],
    ['by name', 'optimizer: SGD', ['default_0', 'SGD', 1e-3, 'CosineAnnealingLR', 1, undefined]],
    [
      'as PyTorch’s class, with its own keys',
      'optimizer: {_target_: torch.optim.AdamW, _partial_: true, lr: 0.5, betas: [0.8, 0.9], fused: true, foreach: null}',
      ['default_0', 'AdamW', 0.5, 'CosineAnnealingLR', 1, undefined],
    ],
    [
      'a schedule as PyTorch’s class',
      'scheduler: {_target_: torch.optim.lr_scheduler.CosineAnnealingLR, T_max: 7, eta_min: 0.1}',
      ['default_0', 'AdamW', 1e-3, 'CosineAnnealingLR', 1, undefined],
    ],
    ['no schedule', 'scheduler: null', ['default_0', 'AdamW', 1e-3, undefined, 1, undefined]],
    [
      'a plateau and its metric',
      'scheduler: {type: ReduceLROnPlateau, monitor: fit/loss}\nmonitor: other',
      ['default_0', 'AdamW', 1e-3, 'ReduceLROnPlateau', 1, 'fit/loss'],
    ],
    [
      'under optim, as in stable-pretraining',
      'optim: {optimizer: {type: LARS, lr: 5, weight_decay: 1e-6}, scheduler: LinearWarmupCosineAnnealing, interval: epoch, frequency: 2}',
      ['default_0', 'LARS', 0.05, 'LinearWarmupCosineAnnealing', 2, undefined],
    ],
    [
      'schedules one after the other',
      'scheduler: {type: SequentialLR, schedulers: [{type: LinearLR, start_factor: 0.5}, ExponentialLR], milestones: [2]}',
      ['default_0', 'AdamW', 5e-4, 'SequentialLR', 1, undefined],
    ],
  ])('%s', async (_, optim, expected) => {
    const { entries } = await optimizers(optim)
    expect(entries.map(described)).toEqual([expected])
  })

  test('rules of weight decay, for every optimizer', async () => {
    const { entries } = await optimizers('optimizer: {type: Lion, weight_decay: 0.1, exclude_bias_norm: true}')
    const groups = entries[0]!.optimizer.groups
    expect(groups.map(({ weightDecay }) => weightDecay)).toEqual([0.1, 0])
    expect(groups.flatMap(({ names = [] }) => names).every((name) => name.startsWith('backbone.'))).toBe(true)
    expect(groups[1]?.names?.every((name) => name.endsWith('bias'))).toBe(true)
    const without = await optimizers('optimizer: {type: SGD, weight_decay: 0.1, no_weight_decay: [weight]}')
    expect(without.entries[0]!.optimizer.groups.map(({ weightDecay }) => weightDecay)).toEqual([0.1, 0])
  })
})

describe('several optimizers', () => {
  const two = `optim:
  body: {modules: 'backbone', optimizer: {type: SGD, lr: 0.1}, scheduler: null, frequency: 2}
  ghost: {modules: nothing, optimizer: AdamW}
`

  test('by the modules each is for', async () => {
    const { entries, lines } = await optimizers(two)
    expect(entries.map(described)).toEqual([['body', 'SGD', 0.1, undefined, 2, undefined]])
    expect(lines[0]).toMatch(/^optimizer {2}pattern .*\nbody +backbone/)
    expect(lines[1]).toMatch(/ghost.*left out/)
  })

  test('train a run, whose own configuration says the same again', async () => {
    await load(two)
    const { status, runDirectory, metrics } = await startRun(join(folder, 'run.yaml'), ['trainer.log_every_n_steps=1'])
    expect(status).toBe('completed')
    expect(metrics['hparams/lr_body']).toBe(0.1)
    const written = await readFile(join(runDirectory, 'config.yaml'), 'utf8')
    expect(parse(written)).toMatchObject({
      optim: { body: { modules: 'backbone', optimizer: { type: 'SGD', lr: 0.1, weight_decay: 0 }, scheduler: null } },
    })
    await writeFile(join(folder, 'again.yaml'), written)
    expect((await loadConfig(join(folder, 'again.yaml'))).config.optim).toMatchObject({ body: { frequency: 2 } })
  })
})

describe('mistakes, with their place', () => {
  test.each([
    ['optimizer: AdmaW', /run\.yaml:8:\d+ optimizer: unknown optimizer "AdmaW"; did you mean "adamw"\?/],
    [
      'optimizer: {type: SGD, lr: fast}',
      /run\.yaml:8:\d+ optimizer\.lr: expected a number, got "fast" \(learning rate\)/,
    ],
    ['optimizer: {type: SGD, lr: -1}', /optimizer\.lr: expected at least 0, got -1/],
    ['optimizer: {type: AdamW, betas: [0.9, 1]}', /run\.yaml:8:\d+ optimizer\.betas\.1: expected less than 1, got 1/],
    ['optimizer: {type: AdamW, weigth_decay: 1}', /unknown key "weigth_decay"; did you mean "weight_decay"\?/],
    ['scheduler: {type: StepLR, step_size: 0.5}', /run\.yaml:8:\d+ scheduler\.step_size: expected an integer/],
    ['scheduler: {type: MultiStepLR}', /scheduler\.milestones: missing; expected a list/],
    [
      'optim: {optimizer: {type: SGD, lr: fast}}',
      /run\.yaml:8:\d+ optim\.optimizer\.lr: expected a number, got "fast"/,
    ],
    [
      'optim: {optimiser: SGD}',
      /run\.yaml:8:\d+ optim\.optimiser: unknown key "optimiser"; did you mean "optimizer"\?/,
    ],
    ['optim: {a: {modules: x}, b: {optimizer: SGD}}', /run\.yaml:8:\d+ optim\.b\.modules: missing; expected a text/],
    ['optim: {a: {modules: x, frequency: 0}}', /run\.yaml:8:\d+ optim\.a\.frequency: expected at least 1, got 0/],
    ['optim: {a: {modules: x, optimizer: SDG}}', /optim\.a\.optimizer: unknown optimizer "SDG"; did you mean "sgd"\?/],
    ['optim: {optimizer: SGD}\nscheduler: StepLR', /run\.yaml:9:\d+ scheduler: "optim" says the same already/],
  ])('%s', async (optim, message) => {
    await expect(load(optim)).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(message) as string,
    })
  })

  test('an expression that is none is found when the optimizers are built', async () => {
    await expect(optimizers("optim: {a: {modules: '(', optimizer: SGD}}")).rejects.toThrow(/"a": "\(" is not a regular/)
  })
})
