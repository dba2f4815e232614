/** Callbacks that watch a run: collapse, milestones, learning rates, throughput, a summary. */
import { expect, test } from 'vitest'
import { CollapseDetector } from '../../../plugins/callbacks/collapse-detector.js'
import { EpochMilestones } from '../../../plugins/callbacks/epoch-milestones.js'
import { LearningRateMonitor } from '../../../plugins/callbacks/learning-rate-monitor.js'
import { ModelSummary } from '../../../plugins/callbacks/model-summary.js'
import { ThroughputMonitor } from '../../../plugins/callbacks/throughput-monitor.js'
import { effectiveRank, embeddingSpread } from '../../../src/metrics/index.js'
import * as nn from '../../../src/nn/index.js'
import { Generator, manualSeed, ones, randn, tensor, zeros, type Tensor } from '../../../src/tensor/index.js'
import { Module, Trainer, type Callback, type Logger } from '../../../src/train/index.js'
import { flowers, smallSimclr } from '../../train/setup.js'

const printed = (lines: string[]): Logger => ({ logMetrics: () => undefined, print: (line) => void lines.push(line) })

/** A run whose embeddings are what `make` says. */
async function detect(make: (rows: number) => Tensor, options: object = {}) {
  const lines: string[] = []
  const detector = new CollapseDetector({ everyNSteps: 1, patience: 2, queueLength: 16, ...options })
  const module = new Module({
    head: new nn.Linear(1, 1),
    forward() {
      return { loss: this.head.forward(zeros([1, 1])).sum(), embedding: make(8) }
    },
    optim: { optimizer: { type: 'SGD', lr: 0.1 }, scheduler: null },
  })
  const trainer = new Trainer({ maxEpochs: 2, callbacks: [detector], logger: printed(lines), limitValBatches: 0 })
  await trainer.fit(module, await flowers())
  return { detector, lines, trainer }
}

test('the spread is 1 for directions all over the sphere, 0 for one direction, and that of plain loops', async () => {
  const generator = new Generator(1)
  expect(await embeddingSpread(randn([4000, 16], { generator }))).toBeCloseTo(1, 1)
  expect(await embeddingSpread(ones([5, 3]))).toBeCloseTo(0, 12)
  // Unit rows (1, 0), (0, 1), (0.6, 0.8): the unbiased deviation of each column, averaged, times √2.
  const columns = [
    [1, 0, 0.6],
    [0, 1, 0.8],
  ]
  const deviation = (values: number[]): number => {
    const mean = values.reduce((a, b) => a + b) / 3
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2)
  }
  const expected = ((deviation(columns[0]!) + deviation(columns[1]!)) / 2) * Math.SQRT2
  expect(
    await embeddingSpread(
      tensor([
        [2, 0],
        [0, 5],
        [3, 4],
      ]),
    ),
  ).toBeCloseTo(expected, 6)
  expect(() => embeddingSpread(ones([1, 3]))).toThrow(/\[1, 3\]/)
})

test('embeddings that are one point, or lie on a line, or shrink, are told once, with the likely cause', async () => {
  const point = await detect((rows) => ones([rows, 6]))
  expect(point.detector.found).toEqual(['complete'])
  expect(point.lines.filter((line) => line.includes('collapse'))).toHaveLength(1)
  expect(point.lines.join()).toMatch(/stop-gradient/)
  const generator = new Generator(3)
  const line = await detect((rows) => randn([rows, 1], { generator }).mul(tensor([1, 2, 3])))
  expect(line.detector.found).toEqual(['dimensional'])
  expect(line.lines.join()).toMatch(/decorrelation/)
  const small = await detect((rows) => randn([rows, 6], { generator }).mul(1e-4))
  expect(small.detector.found).toEqual(['shrunken'])
  expect(small.lines.join()).toMatch(/no variance term/)
})

test('healthy embeddings are not, and what is logged is their spread and rank', async () => {
  const generator = new Generator(5)
  const { detector, lines, trainer } = await detect((rows) => randn([rows, 6], { generator }))
  expect(detector.found).toEqual([])
  expect(lines.join()).not.toMatch(/collapse/)
  const rows = trainer.queue('embedding', 16).newest(16)
  expect(trainer.latest.get('collapse/spread')).toBeCloseTo(await embeddingSpread(rows), 10)
  expect(trainer.latest.get('collapse/rank')).toBeCloseTo(await effectiveRank(rows.sub(rows.mean([0], true))), 10)
})

test('a collapse may end the run, and what was warned of survives a checkpoint', async () => {
  const { detector, trainer } = await detect((rows) => ones([rows, 6]), { stop: true })
  expect(trainer.currentEpoch).toBe(1)
  const again = new CollapseDetector()
  again.loadState(detector.state())
  expect(again.state()).toEqual(detector.state())
})

test('milestones end a run that has not come far enough', async () => {
  const scores = [0.1, 0.2, 0.3]
  const scorer: Callback = {
    name: 'scorer',
    onValidationEnd: (trainer) => void trainer.log('eval/a_top1', scores[trainer.currentEpoch] ?? 1),
  }
  const epochs = async (options: Partial<ConstructorParameters<typeof EpochMilestones>[0]>): Promise<number> => {
    const callback = new EpochMilestones({ milestones: { 1: 0.25 }, monitor: 'eval/a_top1', ...options })
    const trainer = new Trainer({ maxEpochs: 3, callbacks: [scorer, callback], logger: printed([]) })
    await trainer.fit(smallSimclr(), await flowers())
    return trainer.currentEpoch
  }
  expect(await epochs({})).toBe(2)
  expect(await epochs({ milestones: { 1: 0.15 } })).toBe(3)
  expect(await epochs({ milestones: { 1: 0.15 }, direction: 'min' })).toBe(2)
  expect(await epochs({ monitor: undefined, contains: 'top1' })).toBe(2)
  expect(await epochs({ monitor: 'eval/nothing', strict: false })).toBe(3)
  await expect(epochs({ monitor: 'eval/nothing' })).rejects.toThrow(/"eval\/nothing"/)
  expect(() => new EpochMilestones({ milestones: {} })).toThrow(/either monitor or contains/)
})

test('learning rates, momenta and weight decays of every group', async () => {
  const rows: Record<string, number>[] = []
  const monitor = new LearningRateMonitor({ logMomentum: true, logWeightDecay: true })
  const logger: Logger = { logMetrics: (metrics) => void rows.push(metrics) }
  const trainer = new Trainer({ maxEpochs: 1, logEveryNSteps: 1, callbacks: [monitor], logger })
  await trainer.fit(smallSimclr({ lr: 0.25 }), await flowers())
  const [main] = trainer.optimizers
  expect(rows.filter((row) => 'lr-default_0' in row)).toHaveLength(4)
  expect(trainer.latest.get('lr-default_0')).toBe(main?.optimizer.groups[0]?.lr)
  expect(trainer.latest.get('lr-default_0-momentum')).toBe(main?.optimizer.groups[0]?.['momentum'])
})

test('throughput counts images of a window, and the share that waited for data is a share', async () => {
  const trainer = new Trainer({ maxEpochs: 1, callbacks: [new ThroughputMonitor({ windowSize: 4 })], logger: false })
  await trainer.fit(smallSimclr(), await flowers())
  const value = (name: string): number => trainer.latest.get(`throughput/${name}`) ?? NaN
  expect(value('images_per_second') * value('step_seconds')).toBeCloseTo(4, 6)
  expect(value('data_wait')).toBeGreaterThanOrEqual(0)
  expect(value('data_wait')).toBeLessThanOrEqual(1)
  expect(value('process_mb')).toBeGreaterThan(10)
})

test('the summary counts what is trained, what is frozen, and buffers', async () => {
  const lines: string[] = []
  manualSeed(0)
  const module = smallSimclr()
  nn.freeze(module.getSubmodule('backbone') as nn.Module)
  const trainer = new Trainer({ maxEpochs: 1, callbacks: [new ModelSummary()], logger: printed(lines) })
  await trainer.fit(module, await flowers())
  const backbone = lines.find((line) => line.startsWith('backbone'))
  // 3·8·9 weights of the convolution and 16 of the norm, which has 8 + 8 + 1 numbers in buffers.
  expect(backbone?.split(/\s{2,}/)).toEqual(['backbone', 'Sequential', '0', '232', '17'])
})
