/** Each sentence of a training step: who steps when, with which gradients, and what is logged. */
import { describe, expect, test } from 'vitest'
import type { Batch } from '../../src/data/index.js'
import { Linear, parameter } from '../../src/nn/index.js'
import { AdamW, LambdaLR, ReduceLROnPlateau, SGD } from '../../src/optim/index.js'
import { manualSeed, ones, tensor, zeros, type Tensor } from '../../src/tensor/index.js'
import type { Callback, Logger } from '../../src/train/callback.js'
import { Module } from '../../src/train/module.js'
import type { OptimizerEntry } from '../../src/train/optimization.js'
import { stepMonitored, stepOptimizers } from '../../src/train/stepping.js'
import { viewsOf } from '../../src/train/views.js'
import { Trainer } from '../../src/train/trainer.js'
import { flowers } from './setup.js'

const imageOf = (batch: Batch): Tensor => viewsOf(batch)[0]!.image

const values = async (value: Tensor): Promise<number[]> => Array.from((await value.data()) as Float32Array)

/** An optimizer that subtracts the gradient, on one parameter that starts at 0. */
function entry(options: Partial<OptimizerEntry> = {}): OptimizerEntry & { weight: Tensor } {
  const weight = parameter(zeros([2]))
  const optimizer = new SGD([{ params: [weight], names: ['layer.weight'] }], { lr: 1 })
  return { name: 'main', optimizer, frequency: 1, ...options, weight }
}

/** Adds to the gradient, as a backward pass does. */
const add = ({ weight }: { weight: Tensor }, gradient: number[]): void =>
  weight.setGrad(weight.grad ? weight.grad.add(tensor(gradient)) : tensor(gradient))

describe('who is due', () => {
  test('an optimizer of frequency f steps at every f-th batch, and at the last of an epoch', () => {
    const [each, third] = [entry({ name: 'each' }), entry({ name: 'third', frequency: 3 })]
    const stepped = Array.from({ length: 8 }, (_, batch) => {
      for (const one of [each, third]) add(one, [1, 1])
      return stepOptimizers([each, third], batch, batch === 7).map(({ name }) => name)
    })
    expect(stepped.map((names) => names.includes('third'))).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
      false,
      true,
    ])
    expect(stepped.every((names) => names.includes('each'))).toBe(true)
  })

  test('its gradients are the mean over the window, also over a shorter last one', async () => {
    const one = entry({ frequency: 3 })
    for (const [batch, gradient] of [3, 6, 9, 10, 20].entries()) {
      add(one, [gradient, 0])
      stepOptimizers([one], batch, batch === 4)
    }
    expect(await values(one.weight)).toEqual([-6 - 15, 0])
  })

  test('gradients are dropped of those that stepped, and of no other', () => {
    const [each, second] = [entry(), entry({ frequency: 2 })]
    for (const one of [each, second]) add(one, [1, 1])
    stepOptimizers([each, second], 0, false)
    expect(each.weight.grad).toBeNull()
    expect(second.weight.grad).not.toBeNull()
  })

  test('a schedule moves after its optimizer has stepped, and only then', async () => {
    const one = entry({ frequency: 2 })
    const scheduler = new LambdaLR(one.optimizer, { lrLambda: (step) => 1 + step })
    const scheduled = { ...one, scheduler }
    for (let batch = 0; batch < 4; batch++) {
      add(one, [1, 1])
      stepOptimizers([scheduled], batch, false)
    }
    // Rate 1 at the first step, 2 at the second.
    expect(await values(one.weight)).toEqual([-3, -3])
    expect(one.optimizer.groups[0]?.lr).toBe(3)
  })
})

describe('clipping', () => {
  test('by norm, after the mean', async () => {
    const one = entry({ frequency: 2, gradientClipVal: 1 })
    for (let batch = 0; batch < 2; batch++) {
      add(one, [6, 8])
      stepOptimizers([one], batch, false)
    }
    const [x, y] = await values(one.weight)
    expect(x).toBeCloseTo(-0.6, 5)
    expect(y).toBeCloseTo(-0.8, 5)
  })

  test('by value', async () => {
    const one = entry({ gradientClipVal: 1, gradientClipAlgorithm: 'value' })
    add(one, [-5, 0.5])
    stepOptimizers([one], 0, false)
    expect(await values(one.weight)).toEqual([1, -0.5])
  })

  test('of each optimizer by itself', async () => {
    const [clipped, free] = [entry({ gradientClipVal: 1 }), entry()]
    for (const one of [clipped, free]) add(one, [3, 4])
    stepOptimizers([clipped, free], 0, false)
    expect(await values(free.weight)).toEqual([-3, -4])
    expect((await values(clipped.weight))[0]).toBeCloseTo(-0.6, 5)
  })
})

describe('what is looked at', () => {
  test('the norm is that of the mean, before clipping', () => {
    const one = entry({ gradientClipVal: 1 })
    const seen: unknown[] = []
    add(one, [3, 4])
    stepOptimizers([one], 0, false, { onGradNorm: (name, norm) => seen.push([name, norm]) })
    expect(seen).toEqual([['main', 5]])
  })

  test.each([NaN, Infinity])(
    'a gradient of %d ends the run with the name of its parameter, before anything changes',
    async (wrong) => {
      const [fine, bad] = [entry(), entry({ name: 'bad' })]
      for (const one of [fine, bad]) add(one, [1, one === bad ? wrong : 1])
      expect(() => stepOptimizers([fine, bad], 0, false, { detectAnomaly: true })).toThrow(
        expect.objectContaining({
          code: 'ERR_NONFINITE',
          message: expect.stringMatching(/gradient of layer\.weight is (NaN|Infinity) at a step of optimizer "bad"/),
        }),
      )
      expect(await values(fine.weight)).toEqual([0, 0])
    },
  )
})

describe('schedules that watch a metric', () => {
  const plateau = (monitor?: string) => {
    const one = entry()
    const scheduler = new ReduceLROnPlateau(one.optimizer, { patience: 0, factor: 0.5 })
    return { ...one, scheduler, ...(monitor !== undefined && { monitor }) }
  }

  test('do not move with their optimizer, but once an epoch by the newest value', () => {
    const one = plateau('fit/loss')
    for (let batch = 0; batch < 3; batch++) {
      add(one, [1, 1])
      stepOptimizers([one], batch, false)
    }
    const rates = [3, 2, 2].map((loss) => {
      stepMonitored([one], new Map([['fit/loss', loss]]))
      return one.optimizer.groups[0]?.lr
    })
    expect(rates).toEqual([1, 1, 0.5])
  })

  test('find the validation loss under stable-pretraining’s default name', () => {
    const one = plateau()
    expect(() => stepMonitored([one], new Map([['validate/loss', 1]]))).not.toThrow()
    expect(() => stepMonitored([one], new Map([['fit/loss', 1]]))).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining('"val_loss", which nobody') }),
    )
  })
})

describe('in a run', () => {
  /** Mean squared error of two linear layers on the pixels: gradients over a batch are the mean over its parts. */
  const regression = (optim: object) => {
    manualSeed(0)
    return new Module({
      forward(batch) {
        const image = imageOf(batch).flatten(1)
        return { loss: this.first.forward(image).add(this.second.forward(image)).sub(1).square().mean() }
      },
      first: new Linear(3 * 16 * 16, 1),
      second: new Linear(3 * 16 * 16, 1),
      optim: optim as never,
    })
  }
  const sgd = { optimizer: { type: 'SGD', lr: 1e-3 }, scheduler: null }
  const largest = async (a: Tensor, b: Tensor): Promise<number> =>
    Math.max(...(await values(a.detach().sub(b.detach()).abs())))

  test('batches of B/f at frequency f are one batch of B', async () => {
    const whole = regression(sgd)
    await new Trainer({ maxEpochs: 2, numSanityValSteps: 0, limitValBatches: 0 }).fit(
      whole,
      await flowers({ batchSize: 6 }),
    )
    const parts = regression({ ...sgd, frequency: 3 })
    const trainer = new Trainer({ maxEpochs: 2, numSanityValSteps: 0, limitValBatches: 0 })
    await trainer.fit(parts, await flowers({ batchSize: 2 }))
    expect([trainer.globalStep, trainer.totalSteps]).toEqual([6, 6])
    expect(await largest(whole['first'].weight, parts['first'].weight)).toBeLessThan(1e-6)
    expect(await largest(whole['first'].weight, ones([1, 768]).mul(0))).toBeGreaterThan(1e-4)
  })

  test('the first optimizer alone counts the steps of the run; each rate is logged by its name', async () => {
    const rows: Array<Record<string, number>> = []
    const logger: Logger = { logMetrics: (metrics) => void rows.push(metrics) }
    const module = regression({
      slow: { modules: 'first', ...sgd, frequency: 2 },
      fast: { modules: 'second', optimizer: { type: 'AdamW', lr: 0.5 }, scheduler: null },
    })
    const trainer = new Trainer({ maxSteps: 3, logEveryNSteps: 1, logger, limitValBatches: 0, logGradNorm: true })
    await trainer.fit(module, await flowers({ batchSize: 3 }))
    expect(trainer.globalStep).toBe(3)
    expect(trainer.optimizers.map(({ optimizer }) => optimizer.stateDict().state['0']?.['step'])).toEqual([3, 6])
    expect(trainer.latest.get('hparams/lr_slow')).toBe(1e-3)
    expect(trainer.latest.get('hparams/lr_fast')).toBe(0.5)
    expect(trainer.latest.get('grad_norm/slow')).toBeGreaterThan(0)
    expect(rows[0]).toHaveProperty('grad_norm/fast')
  })

  test('without an optimizer of the module, the first of a callback counts', async () => {
    const probe = new Linear(3 * 16 * 16, 1)
    const callback: Callback = {
      name: 'probe',
      modules: { probe },
      optimizers: { probe: { name: 'probe', optimizer: new AdamW(probe.parameters()), frequency: 2 } },
      forward({ outputs, batch, stage }) {
        if (stage !== 'fit') return
        const image = imageOf(batch).flatten(1)
        outputs['loss'] = probe.forward(image).square().mean()
      },
    }
    const module = new Module({ forward: () => ({}), optim: null })
    const trainer = new Trainer({ maxEpochs: 1, callbacks: [callback], numSanityValSteps: 0, limitValBatches: 0 })
    await trainer.fit(module, await flowers({ batchSize: 3 }))
    expect(trainer.globalStep).toBe(3)
  })

  test('a method is told of each step with its place in the run', async () => {
    const told: unknown[] = []
    const module = new Module({
      forward(batch) {
        return {
          loss: this.layer.forward(imageOf(batch).flatten(1)).square().mean(),
        }
      },
      afterStep: (step, { epoch, maxEpochs, totalSteps }) => void told.push([step, epoch, maxEpochs, totalSteps]),
      layer: new Linear(3 * 16 * 16, 1),
    })
    await new Trainer({ maxEpochs: 2, limitTrainBatches: 2, limitValBatches: 0 }).fit(module, await flowers())
    expect(told).toEqual([
      [1, 0, 2, 4],
      [2, 0, 2, 4],
      [3, 1, 2, 4],
      [4, 1, 2, 4],
    ])
  })

  test('a plateau of the training loss lowers the rate once an epoch', async () => {
    const module = regression({
      optimizer: { type: 'SGD', lr: 1e-9 },
      scheduler: { type: 'ReduceLROnPlateau', monitor: 'fit/loss', patience: 0, threshold: 0.9, factor: 0.5, eps: 0 },
    })
    const trainer = new Trainer({ maxEpochs: 4, limitValBatches: 0 })
    await trainer.fit(module, await flowers())
    // The first epoch sets the mark that no later one is better than by 90 %.
    expect(trainer.optimizers[0]?.optimizer.groups[0]?.lr).toBe(1e-9 / 8)
  })

  test('a gradient that is not finite is found while the loss still is', async () => {
    const module = new Module({
      forward(batch) {
        const image = imageOf(batch).flatten(1)
        return { loss: this.layer.forward(image).mul(0).square().sum().sqrt() }
      },
      layer: new Linear(3 * 16 * 16, 1),
    })
    const trainer = new Trainer({ maxEpochs: 1, detectAnomaly: true, limitValBatches: 0 })
    await expect(trainer.fit(module, await flowers())).rejects.toMatchObject({
      code: 'ERR_NONFINITE',
      message: expect.stringContaining('gradient of layer.weight') as string,
    })
  })
})
