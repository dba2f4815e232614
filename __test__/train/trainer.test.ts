import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DataLoader, DataModule, RandomMixupCutmix, type Step } from '../../src/data/index.js'
import { Linear } from '../../src/nn/index.js'
import { scope, tensor, type Tensor } from '../../src/tensor/index.js'
import type { Callback, Logger } from '../../src/train/callback.js'
import { loadCheckpoint } from '../../src/train/checkpoint.js'
import { Module } from '../../src/train/module.js'
import { Trainer } from '../../src/train/trainer.js'
import { flowers, smallSimclr } from './setup.js'

type Row = { step: number; epoch: number } & Record<string, number>

function notebook(): { rows: Row[]; status: string[]; logger: Logger } {
  const rows: Row[] = []
  const status: string[] = []
  const logger: Logger = {
    logMetrics: (metrics, at) => void rows.push({ ...at, ...metrics }),
    finalize: (how) => void status.push(how),
  }
  return { rows, status, logger }
}

const weightsOf = async (module: { stateDict(): Map<string, Tensor> }): Promise<Record<string, unknown>> =>
  Object.fromEntries(
    await Promise.all([...module.stateDict()].map(async ([name, value]) => [name, await value.data()])),
  )

describe('a run', () => {
  test('logs every returned scalar by step and by epoch, and the learning rate', async () => {
    const { rows, status, logger } = notebook()
    const trainer = new Trainer({ maxEpochs: 2, logEveryNSteps: 2, logger })
    expect(await trainer.fit(smallSimclr(), await flowers())).toBe('completed')
    expect(trainer.globalStep).toBe(8)
    const steps = rows.filter((row) => 'fit/loss_step' in row)
    expect(steps.map(({ step }) => step)).toEqual([2, 4, 6, 8])
    expect(steps[0]).toHaveProperty('hparams/lr_default_0')
    const epochs = rows.filter((row) => 'fit/loss_epoch' in row)
    expect(epochs.map(({ step, epoch }) => [step, epoch])).toEqual([
      [4, 0],
      [8, 1],
    ])
    expect(status).toEqual(['success'])
  })

  test('calls the hooks in their order, the sanity check first', async () => {
    const calls: string[] = []
    const names = [
      'setup',
      'onFitStart',
      'onTrainEpochStart',
      'onTrainBatchEnd',
      'onTrainEpochEnd',
      'onValidationStart',
      'onValidationBatchEnd',
      'onValidationEnd',
      'onFitEnd',
    ] as const
    const hooks = Object.fromEntries(names.map((name) => [name, () => void calls.push(name)]))
    const spy: Callback = { name: 'spy', ...hooks }
    const trainer = new Trainer({ maxEpochs: 1, limitTrainBatches: 2, limitValBatches: 1, callbacks: [spy] })
    await trainer.fit(smallSimclr(), await flowers())
    expect(calls).toEqual([
      'setup',
      'onValidationStart',
      'onValidationBatchEnd',
      'onValidationEnd',
      'onFitStart',
      'onTrainEpochStart',
      'onTrainBatchEnd',
      'onTrainBatchEnd',
      'onValidationStart',
      'onValidationBatchEnd',
      'onValidationEnd',
      'onTrainEpochEnd',
      'onFitEnd',
    ])
  })

  test('ends after maxSteps, also within an epoch, and validates then', async () => {
    const validations: number[] = []
    const spy: Callback = { name: 'spy', onValidationEnd: (trainer) => void validations.push(trainer.globalStep) }
    const trainer = new Trainer({ maxSteps: 6, numSanityValSteps: 0, callbacks: [spy] })
    await trainer.fit(smallSimclr(), await flowers())
    expect(trainer.globalStep).toBe(6)
    expect(validations).toEqual([4, 6])
  })

  test('a callback that stops it is obeyed at the end of the epoch', async () => {
    const spy: Callback = { name: 'spy', onTrainEpochEnd: (trainer) => void (trainer.shouldStop = true) }
    const trainer = new Trainer({ maxEpochs: 9, callbacks: [spy] })
    expect(await trainer.fit(smallSimclr(), await flowers())).toBe('stopped')
    expect(trainer.globalStep).toBe(4)
  })

  test('a value logged in the middle does not slow a step down: nothing is read between two intervals', async () => {
    let reads = 0
    const spy: Callback = {
      name: 'spy',
      onTrainBatchEnd: ({ trainer }) => void (reads += trainer.latest.size > 0 ? 1 : 0),
    }
    const trainer = new Trainer({ maxEpochs: 1, logEveryNSteps: 100, numSanityValSteps: 0, callbacks: [spy] })
    await trainer.fit(smallSimclr(), await flowers())
    expect(reads).toBe(0)
    expect(trainer.latest.get('fit/loss_epoch')).toBeGreaterThan(0)
  })
})

describe('equal runs', () => {
  const train = async (options: { numWorkers?: number; seed?: number } = {}): Promise<Record<string, unknown>> => {
    const module = smallSimclr()
    await new Trainer({ maxEpochs: 3 }).fit(module, await flowers(options))
    return weightsOf(module)
  }

  test('are equal bit for bit, whatever the number of loader workers', async () => {
    const reference = await train({ numWorkers: 1 })
    expect(await train({ numWorkers: 1 })).toEqual(reference)
    expect(await train({ numWorkers: 4 })).toEqual(reference)
    expect(await train({ numWorkers: 0 })).toEqual(reference)
  })

  test('of another seed are not', async () => {
    expect(await train({ seed: 1 })).not.toEqual(await train())
  })
})

describe('accumulated batches', () => {
  /** Mean squared error of a linear layer: its gradient over a batch is the mean over its parts. */
  const regression = () => {
    const linear = new Linear(3 * 16 * 16, 1, { bias: false })
    linear.weight.fill_(0)
    return new Module({
      forward(batch) {
        const image = (batch.views?.[0]?.image ?? batch.image) as Tensor
        return { loss: this.linear.forward(image.flatten(1)).sub(1).square().mean() }
      },
      linear,
      optim: { optimizer: { type: 'SGD', lr: 1e-3 }, scheduler: null },
    })
  }

  test('of size B/f give the step of one batch of size B', async () => {
    const whole = regression()
    await new Trainer({ maxSteps: 3 }).fit(whole, await flowers({ batchSize: 6 }))
    const parts = regression()
    const trainer = new Trainer({ maxSteps: 3, accumulateGradBatches: 3 })
    await trainer.fit(parts, await flowers({ batchSize: 2 }))
    expect(trainer.globalStep).toBe(3)
    const [a, b] = [await whole.linear.weight.data(), await parts.linear.weight.data()] as [Float32Array, Float32Array]
    expect(Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))))).toBeLessThan(1e-6)
  })
})

describe('mistakes', () => {
  const fit = async (forward: () => Record<string, unknown>): Promise<unknown> => {
    const module = new Module({ forward, layer: new Linear(1, 1) })
    return new Trainer({ maxEpochs: 1, logEveryNSteps: 1, numSanityValSteps: 0 }).fit(module, await flowers())
  }

  test('a forward without a loss is told what it returned', async () => {
    await expect(fit(() => ({ embedding: tensor([1]), logits: 2 }))).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringContaining('embedding, logits') as string,
    })
  })

  test('a loss of several numbers is told its shape', async () => {
    await expect(fit(() => ({ loss: tensor([1, 2]) }))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  })

  test('a loss that is not finite ends the run with its step, and callbacks and loggers hear of it', async () => {
    const { status, logger } = notebook()
    const heard: unknown[] = []
    const module = smallSimclr({ lr: 1e30 })
    const spy: Callback = { name: 'spy', onException: (_trainer, error) => void heard.push(error) }
    const trainer = new Trainer({ maxEpochs: 50, logEveryNSteps: 3, logger, callbacks: [spy] })
    await expect(trainer.fit(module, await flowers())).rejects.toMatchObject({
      code: 'ERR_NONFINITE',
      message: expect.stringMatching(/fit\/loss is (NaN|-?Infinity) at step \d+/) as string,
    })
    expect(heard).toHaveLength(1)
    expect(status).toEqual(['failed'])
  })

  test('weights that are not finite are not saved over a checkpoint that is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'spt-trainer-'))
    // The loss that is logged is fine; its gradient is not.
    const poison: Callback = {
      name: 'poison',
      forward({ outputs, stage, trainer }) {
        if (stage === 'fit' && trainer.globalStep === 2) outputs['loss'] = (outputs['loss'] as Tensor).mul(Infinity)
      },
    }
    const trainer = new Trainer({ maxEpochs: 1, checkpointEveryNSteps: 1, logEveryNSteps: 1, callbacks: [poison] })
    trainer.checkpointPath = join(folder, 'last.ckpt')
    await expect(trainer.fit(smallSimclr(), await flowers())).rejects.toMatchObject({
      code: 'ERR_NONFINITE',
      message: expect.stringMatching(/^weight "backbone\..*" is NaN at step 3$/) as string,
    })
    const { state } = await scope(() => loadCheckpoint(join(folder, 'last.ckpt')))
    expect(state['trainer']).toMatchObject({ step: 2 })
    await rm(folder, { recursive: true })
  })

  test('training data that makes no batch is told with both numbers', async () => {
    await expect(new Trainer().fit(smallSimclr(), await flowers({ batchSize: 19 }))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: 'image-folder: 18 images make no batch of 19, and a smaller last one is left out',
    })
    await expect(new Trainer({ limitTrainBatches: 0.1 }).fit(smallSimclr(), await flowers())).rejects.toThrow(
      'limit_train_batches 0.1 of 4 training batches leaves none',
    )
  })

  test('no epochs at all train nothing', async () => {
    const trainer = new Trainer({ maxEpochs: 0 })
    expect(await trainer.fit(smallSimclr(), await flowers())).toBe('completed')
    expect(trainer.globalStep).toBe(0)
  })

  test('two callbacks of one name are refused', () => {
    expect(() => new Trainer({ callbacks: [{ name: 'a' }, { name: 'a' }] })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })
})

test('a batch is transformed before the module sees it, alike when the run is repeated', async () => {
  const seen = async () => {
    const { train } = await flowers()
    const { dataset } = train as DataLoader
    const found: number[] = []
    const mix = new RandomMixupCutmix({ numClasses: 3 })
    const steps: Step[] = [{ type: 'resize', size: [8, 8], interpolation: 'bilinear', antialias: true }]
    const loader = new DataLoader({ dataset, batchSize: 6, transform: { steps }, batchTransform: [mix] })
    const module = new Module({
      classifier: new Linear(3, 3),
      async forward(batch) {
        const target = batch['soft_label'] as Tensor
        found.push(...Array.from(await target.data(), Number))
        const loss = this.classifier.forward((batch.image as Tensor).mean([2, 3])).crossEntropy(target)
        return { loss }
      },
    })
    await new Trainer({ maxEpochs: 1, logger: false }).fit(module, new DataModule({ train: loader }))
    return found
  }
  const first = await seen()
  expect(first).toHaveLength(18 * 3)
  for (let row = 0; row < 18; row++) expect(first.slice(row * 3, row * 3 + 3).reduce((a, b) => a + b)).toBeCloseTo(1, 5)
  expect(await seen()).toEqual(first)
})
