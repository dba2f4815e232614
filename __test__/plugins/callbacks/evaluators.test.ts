import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ModelCheckpoint } from '../../../plugins/callbacks/checkpoint.js'
import { EarlyStop } from '../../../plugins/callbacks/early-stop.js'
import { LiDAR } from '../../../plugins/callbacks/lidar.js'
import { OnlineKNN } from '../../../plugins/callbacks/online-knn.js'
import { OnlineProbe } from '../../../plugins/callbacks/online-probe.js'
import { RankMe } from '../../../plugins/callbacks/rank-me.js'
import { Report } from '../../../plugins/callbacks/report.js'
import { UntrainedBaseline } from '../../../plugins/callbacks/untrained-baseline.js'
import { CsvLogger } from '../../../plugins/loggers/csv.js'
import { type BatchTransform, DataLoader, DataModule } from '../../../src/data/index.js'
import { lidar } from '../../../src/metrics/index.js'
import { Linear } from '../../../src/nn/index.js'
import { SGD } from '../../../src/optim/index.js'
import { randn, type Tensor, tensor } from '../../../src/tensor/index.js'
import { fitFrozen, Manager, Trainer, type Callback } from '../../../src/train/index.js'
import { flowers, smallSimclr } from '../../train/setup.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-callbacks-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const knn = (queueLength = 20): OnlineKNN => new OnlineKNN({ name: 'knn', queueLength, numClasses: 3 })

describe('queues', () => {
  test('of one key are one, of the longest length asked for', async () => {
    const trainer = new Trainer({ maxEpochs: 2, callbacks: [knn(12), new RankMe({ name: 'rankme', queueLength: 30 })] })
    await trainer.fit(smallSimclr(), await flowers())
    expect([...trainer.queues.keys()].toSorted()).toEqual(['embedding', 'label'])
    expect(trainer.queues.get('embedding')?.capacity).toBe(30)
    expect(trainer.queues.get('embedding')?.length).toBe(30) // 8 steps of 8 views
    expect(trainer.latest.get('eval/knn_top1')).toBeGreaterThanOrEqual(0)
    expect(trainer.latest.get('rankme')).toBeGreaterThan(1)
  })

  test('LiDAR is that of the oldest rows of its queue, and waits until they are two classes', async () => {
    const options = { name: 'lidar', queueLength: 32, nClasses: 3, samplesPerClass: 4 }
    const trainer = new Trainer({ maxEpochs: 1, callbacks: [new LiDAR({ ...options, verbose: true })] })
    await trainer.fit(smallSimclr(), await flowers())
    const rows = trainer.queue('embedding', 32).newest(32)
    const expected = await lidar(rows, { nClasses: 3, samplesPerClass: 4 })
    expect(trainer.latest.get('lidar')).toBe(expected.lidar)
    expect(trainer.latest.get('lidar/top_eigenvalue')).toBe(expected.topEigenvalue)
    const waiting = new Trainer({ maxEpochs: 1, callbacks: [new LiDAR({ ...options, samplesPerClass: 17 })] })
    await waiting.fit(smallSimclr(), await flowers())
    expect(waiting.latest.has('lidar')).toBe(false)
  })

  test('are empty in the sanity check, which is no error', async () => {
    const trainer = new Trainer({ maxEpochs: 1, callbacks: [knn()] })
    await trainer.fit(smallSimclr(), await flowers())
    expect(trainer.latest.has('eval/knn_top1')).toBe(true)
  })
})

describe('early-stop', () => {
  test('ends the run after as many validations without improvement as its patience, and remembers it in a checkpoint', async () => {
    const stop = new EarlyStop({ monitor: 'fit/loss_epoch', mode: 'max', patience: 2, minDelta: 1e9 })
    const trainer = new Trainer({ maxEpochs: 20, callbacks: [stop] })
    expect(await trainer.fit(smallSimclr(), await flowers())).toBe('stopped')
    expect(trainer.currentEpoch).toBe(3)
    const again = new EarlyStop({ monitor: 'fit/loss_epoch' })
    again.loadState(stop.state())
    expect(again.state()).toEqual(stop.state())
  })

  test('a metric that does not exist is named', async () => {
    const trainer = new Trainer({ callbacks: [new EarlyStop({ monitor: 'eval/accuracy' })] })
    await expect(trainer.fit(smallSimclr(), await flowers())).rejects.toThrow(/"eval\/accuracy"/)
  })
})

test('checkpoint keeps the best by its metric', async () => {
  const scores = [0.1, 0.5, 0.3, 0.6, 0.2]
  const scorer: Callback = {
    name: 'scorer',
    onValidationEnd: (trainer) => trainer.log('score', scores[trainer.currentEpoch] ?? 0),
  }
  const best = new ModelCheckpoint({ monitor: 'score', mode: 'max', saveTopK: 2, folder })
  const trainer = new Trainer({ maxEpochs: 5, numSanityValSteps: 0, callbacks: [scorer, best] })
  await trainer.fit(smallSimclr(), await flowers())
  expect((await readdir(folder)).toSorted()).toEqual(['epoch-002.ckpt', 'epoch-004.ckpt'])
  expect(best.best).toMatchObject({ value: 0.6 })
})

test('checkpoint and early-stop look at a metric when it is measured, not in the epochs between', async () => {
  const scorer: Callback = { name: 'scorer', onValidationEnd: (trainer) => trainer.log('score', trainer.currentEpoch) }
  const best = new ModelCheckpoint({ monitor: 'score', mode: 'max', folder })
  const stop = new EarlyStop({ monitor: 'score', mode: 'max', patience: 1 })
  const callbacks = [scorer, best, stop]
  const trainer = new Trainer({ maxEpochs: 6, checkValEveryNEpoch: 3, numSanityValSteps: 0, callbacks })
  expect(await trainer.fit(smallSimclr(), await flowers())).toBe('completed')
  expect(best.best).toMatchObject({ value: 5 })
})

test('a whole run: untrained and trained numbers, and a report that shows real pictures', async () => {
  const callbacks = [
    new UntrainedBaseline({ images: 18, alsoTrained: true }),
    new OnlineProbe({ name: 'linear_probe', probe: () => new Linear(8, 3) }),
    knn(100),
    new RankMe({ name: 'rankme', queueLength: 64 }),
    new Report({ queries: 3, neighbours: 4 }),
  ]
  const printed: string[] = []
  const directory = { path: folder, id: '0', lastCheckpoint: join(folder, 'checkpoints', 'last.ckpt') }
  const at: object[] = []
  const console = {
    logMetrics: (metrics: object, place: object) => void ('trained/knn_top1' in metrics && at.push(place)),
    print: (line: string) => void printed.push(line),
  }
  const trainer = new Trainer({
    maxEpochs: 2,
    callbacks,
    logger: [new CsvLogger(join(folder, 'metrics.csv')), console],
    logEveryNSteps: 2,
  })
  const manager = new Manager({
    trainer,
    module: smallSimclr(),
    data: await flowers(),
    seed: 0,
    runDirectory: directory,
  })
  const { status, metrics } = await manager.run()
  expect(status).toBe('completed')
  expect(Object.keys(metrics)).toEqual(
    expect.arrayContaining([
      'untrained/linear_probe_top1',
      'untrained/knn_top1',
      'eval/linear_probe_top1',
      'eval/knn_top1',
      'rankme',
    ]),
  )
  expect(printed.join('\n')).toMatch(/untrained backbone: .*knn_top1 \d+\.\d %/)
  expect(printed.join('\n')).toMatch(/untrained +trained/)
  expect(at).toEqual([{ step: 8, epoch: 1 }]) // of the last epoch
  expect(printed.join('\n')).toContain(directory.lastCheckpoint)
  const page = await readFile(join(folder, 'report.html'), 'utf8')
  expect(page.match(/src="data:image\/(jpeg|png|webp);base64,/g)).toHaveLength(3 * (1 + 4))
  expect(page).toContain('class="right"')
  expect(page.match(/<svg/g)).toHaveLength(3)
  expect(page).toContain('tulips')
})

test('measured after training is what a later run measures before its own', async () => {
  const module = smallSimclr()
  const measured = async (alsoTrained: boolean, maxEpochs: number): Promise<ReadonlyMap<string, number>> => {
    const probe = new OnlineProbe({ name: 'linear_probe', probe: () => new Linear(8, 3) })
    const callbacks = [new UntrainedBaseline({ alsoTrained, probeSteps: 4 }), probe, knn(100)]
    const trainer = new Trainer({ maxEpochs, callbacks })
    await trainer.fit(module, await flowers())
    return trainer.latest
  }
  const first = await measured(true, 4)
  const second = await measured(false, 1)
  for (const metric of ['knn_top1', 'linear_probe_top1']) {
    expect(first.get(`trained/${metric}`)).toBeGreaterThan(0)
    expect(second.get(`untrained/${metric}`)).toBe(first.get(`trained/${metric}`))
    expect(second.has(`trained/${metric}`)).toBe(false)
  }
  expect(first.get('trained/linear_probe_top1')).not.toBe(first.get('untrained/linear_probe_top1'))
})

test('the rates of a fit to frozen embeddings fall along half a cosine', () => {
  const features = { embedding: randn([6, 2]).keep(), label: tensor([0, 1, 0, 1, 0, 1]).to('int64').keep() }
  const probe = new Linear(2, 2)
  const optimizer = new SGD(probe.parameters(), { lr: 0.5 })
  const rates: number[] = []
  fitFrozen(optimizer, features, { steps: 4, batchSize: 3, seed: 0 }, (embedding, label) => {
    rates.push(optimizer.groups[0]!.lr)
    return probe.forward(embedding).crossEntropy(label)
  })
  const expected = [1, 0.853553, 0.5, 0.146447].map((share) => 0.5 * share)
  for (const [step, rate] of rates.entries()) expect(rate).toBeCloseTo(expected[step]!, 6)
  expect(rates).toHaveLength(4)
})

test('what is done to batches of the validation is done to what is measured on its own', async () => {
  const data = await flowers()
  const seen: number[] = []
  const counting: BatchTransform = {
    applyBatch(batch) {
      seen.push((batch['image'] as Tensor).shape[0] as number)
      return batch
    },
  }
  const { dataset, batchSize, transform } = data.val as DataLoader
  const val = new DataLoader({ dataset, batchSize, batchTransform: [counting], ...(transform && { transform }) })
  const trainer = new Trainer({ maxEpochs: 1, numSanityValSteps: 0, callbacks: [new UntrainedBaseline(), knn(100)] })
  await trainer.fit(smallSimclr(), new DataModule({ ...(data.train && { train: data.train }), val }))
  expect(seen).toEqual(Array(9).fill(6)) // 18 images each: training and validation before, validation after the epoch
})
