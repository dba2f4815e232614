import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { OnlineKNN } from '../../plugins/callbacks/online-knn.js'
import { OnlineProbe } from '../../plugins/callbacks/online-probe.js'
import {
  MulticlassAccuracy,
  MulticlassConfusionMatrix,
  MulticlassF1Score,
  MulticlassRecall,
  multiclassRecall,
} from '../../src/metrics/index.js'
import { Linear } from '../../src/nn/index.js'
import { cat, type Tensor, tensor } from '../../src/tensor/index.js'
import { type BatchEvent, type Callback, EpochMetrics, type MetricsOption, Trainer } from '../../src/train/index.js'
import { build } from '../plugins/build.js'
import { flowers, smallBackbone, smallSimclr } from './setup.js'

const probe = (metrics?: MetricsOption): OnlineProbe =>
  new OnlineProbe({ name: 'probe', probe: () => new Linear(8, 3), metrics })

test('a metric of the probe has the value over the whole validation, not the mean over its batches', async () => {
  const seen: { preds: Tensor; label: Tensor }[] = []
  const watch: Callback = {
    name: 'watch',
    onValidationBatchEnd({ trainer, outputs, batch }: BatchEvent) {
      if (trainer.sanityChecking) return
      const [preds, label] = [outputs['probe_preds'] as Tensor, (outputs['label'] ?? batch['label']) as Tensor]
      seen.push({ preds: preds.clone().keep(), label: label.clone().keep() })
    },
  }
  const metrics = { recall: new MulticlassRecall({ numClasses: 3 }) }
  const trainer = new Trainer({ maxEpochs: 1, callbacks: [probe(metrics), watch] })
  await trainer.fit(smallSimclr(), await flowers({ batchSize: 4 }))
  const [preds, label] = [seen.map((one) => one.preds), seen.map((one) => one.label)].map((parts) => cat(parts, 0))
  expect(seen.length).toBeGreaterThan(1)
  expect(trainer.latest.get('eval/probe_recall')).toBe(await multiclassRecall(preds as Tensor, label as Tensor))
  expect([...trainer.latest.keys()].filter((name) => /^(train|eval)\/probe_/.test(name)).toSorted()).toEqual([
    'eval/probe_recall',
    'train/probe_loss',
    'train/probe_loss_epoch',
    'train/probe_loss_step',
  ])
})

test('with train and val, both are logged under their stage; values of classes by their number', async () => {
  const metrics = { train: [new MulticlassAccuracy()], val: { f1: new MulticlassF1Score({ average: 'none' }) } }
  const knn = new OnlineKNN({ name: 'knn', queueLength: 20, numClasses: 3, metrics: new MulticlassAccuracy() })
  const trainer = new Trainer({ maxEpochs: 2, callbacks: [probe(metrics), knn] })
  await trainer.fit(smallSimclr(), await flowers())
  expect([...trainer.latest.keys()]).toEqual(
    expect.arrayContaining([
      'train/probe_MulticlassAccuracy',
      'eval/probe_f1_0',
      'eval/probe_f1_2',
      'eval/knn_MulticlassAccuracy',
    ]),
  )
  expect(trainer.latest.has('eval/probe_top1')).toBe(false)
})

test('a run that goes on in the middle of an epoch has the same training metrics as one that was never stopped', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'spt-metrics-'))
  const path = join(folder, 'last.ckpt')
  const make = (): OnlineProbe => probe({ train: { f1: new MulticlassF1Score() }, val: {} })
  const whole = new Trainer({ maxEpochs: 2, callbacks: [make()] })
  await whole.fit(smallSimclr(), await flowers())
  const stop: Callback = {
    name: 'stop',
    onTrainBatchEnd: ({ trainer }) => void (trainer.globalStep === 6 && trainer.interrupt()),
  }
  const first = new Trainer({ maxEpochs: 2, callbacks: [make(), stop] })
  first.checkpointPath = path
  expect(await first.fit(smallSimclr(), await flowers())).toBe('interrupted')
  const second = new Trainer({ maxEpochs: 2, callbacks: [make()] })
  await second.fit(smallSimclr(), await flowers(), { ckptPath: path })
  expect(second.latest.get('train/probe_f1')).toBe(whole.latest.get('train/probe_f1'))
  expect(whole.latest.get('train/probe_f1')).toBeGreaterThan(0)
  await rm(folder, { recursive: true })
})

test('a configuration names them, and gives them the number of classes', async () => {
  const backbone = { module: smallBackbone(), dim: 8, name: 'small' }
  const services = { runDirectory: '.', seed: 0, log: () => undefined, shared: <T>(_: string, make: () => T) => make() }
  const callbacks = await Promise.all([
    build(
      'callback',
      {
        type: 'online-probe',
        metrics: { f1: 'f1', top2: { _target_: 'torchmetrics.classification.MulticlassAccuracy', top_k: 2 } },
      },
      { backbone, services, numClasses: 3 },
    ),
    build('callback', { type: 'online-knn', metrics: ['auroc'] }, { backbone, services, numClasses: 3 }),
  ])
  const trainer = new Trainer({ maxEpochs: 1, callbacks: callbacks as Callback[] })
  await trainer.fit(smallSimclr(), await flowers())
  for (const name of ['eval/linear_probe_f1', 'eval/linear_probe_top2', 'eval/knn_auroc']) {
    expect(trainer.latest.get(name)).toBeGreaterThanOrEqual(0)
  }
})

describe('EpochMetrics', () => {
  const scores = tensor([
    [2, 1],
    [0, 1],
  ])
  const target = tensor(BigInt64Array.of(0n, 0n))

  test('measures by the metrics of validation, and leaves them empty', async () => {
    const metric = new MulticlassAccuracy({ average: 'micro' })
    const metrics = new EpochMetrics('p', { train: [], val: { share: metric } })
    expect(await metrics.measure(scores, target)).toEqual({ share: 0.5 })
    expect(metric.empty).toBe(true)
    expect(await new EpochMetrics('p', undefined).measure(scores, target)).toEqual({ top1: 0.5 })
  })

  test('refuses two metrics of one name, and a value that is no number', async () => {
    expect(() => new EpochMetrics('p', [new MulticlassRecall(), new MulticlassRecall()])).toThrow(/MulticlassRecall/)
    const matrix = new EpochMetrics('p', { confusion: new MulticlassConfusionMatrix() })
    await expect(matrix.measure(scores, target)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' })
  })
})
