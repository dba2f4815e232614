/** Methods collapse when what guards them is taken away, and the collapse detector says so. */
import { expect, test } from 'vitest'
import { CollapseDetector } from '../../../plugins/callbacks/collapse-detector.js'
import {
  cat,
  type DINOv1Loss,
  manualSeed,
  NegativeCosineSimilarity,
  nn,
  randn,
  scope,
  type Tensor,
} from '../../../src/index.js'
import type { Batch, BatchSource, DataModule } from '../../../src/data/index.js'
import type { Outputs } from '../../../src/plugin/contracts.js'
import { Module, Trainer } from '../../../src/train/index.js'
import { build } from '../build.js'

type Parts = Record<string, nn.Layer & { student?: nn.Layer }>
type Forward = (batch: Batch, parts: Parts) => Outputs

const steps = 80

/** Pairs of noise whose mean colour is all that they share, so that agreeing on one point is the easy way out. */
class Noise implements BatchSource {
  readonly length = steps
  setEpoch(): void {}
  load(): void {}
  state() {
    return { epoch: 0, batch: 0 }
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    for (;;) {
      const [first, second] = scope(() => {
        const shared = randn([32, 3, 1, 1]).mul(0.3)
        return [shared.add(randn([32, 3, 16, 16])), shared.add(randn([32, 3, 16, 16]))] as const
      })
      yield { views: [{ image: first.keep() }, { image: second.keep() }], index: randn([32]).keep() }
    }
  }
}

interface Changes {
  /** In place of the method's. */
  forward?: Forward
  /** Takes a guard of another kind away. */
  tamper?(modules: Record<string, unknown>): void
  lr?: number
}

/** What the detector has found after a run from one start. */
async function found(config: object, floors: object, changes: Changes = {}): Promise<readonly string[]> {
  const { forward, tamper, lr = 0.03 } = changes
  manualSeed(0)
  const convolution = (from: number, to: number) => new nn.Conv2d(from, to, 3, { stride: 2, padding: 1 })
  const layers = [convolution(3, 16), new nn.ReLU(), convolution(16, 32), new nn.ReLU(), new nn.AdaptiveAvgPool2d(1)]
  const backbone = { module: new nn.Sequential(...layers, new nn.Flatten()), dim: 32, name: 'without norms' }
  const method = await build('method', config, { backbone, totalSteps: steps, seed: 0 })
  tamper?.(method.modules)
  const module = new Module({
    ...method.modules,
    forward: (batch, stage, progress) =>
      forward?.(batch, method.modules as unknown as Parts) ?? method.forward(batch, stage, progress),
    afterStep: (step: number, progress) => method.afterStep?.(step, progress),
    optim: { optimizer: { type: 'AdamW', lr, weightDecay: 0 }, scheduler: null },
  })
  const detector = new CollapseDetector({ target: 'projection', queueLength: 64, everyNSteps: 10, ...floors })
  const options = { maxEpochs: 1, maxSteps: steps, callbacks: [detector], logger: { logMetrics: () => undefined } }
  await new Trainer({ ...options, numSanityValSteps: 0 }).fit(module, { train: new Noise() } as unknown as DataModule)
  return detector.found
}

/** Each view predicts the other, and both sides give way: no teacher, no stop-gradient. */
const withoutStopGradient: Forward = ({ views }, parts) => {
  const student = (name: string) => parts[name]!.student ?? parts[name]!
  const projected = views!.map(({ image }) => student('projector').forward(student('backbone').forward(image)))
  const [a, b] = projected.map((z) => parts['predictor']!.forward(z)) as [Tensor, Tensor]
  const loss = new NegativeCosineSimilarity()
  return {
    loss: loss.forward(a, projected[1]!).add(loss.forward(b, projected[0]!)).mul(0.5),
    projection: cat(projected).detach(),
  }
}

test('byol without stop-gradient comes to one point; with it, not', async () => {
  const config = { type: 'byol', projector_dims: [64, 32], predictor_dims: [32, 32] }
  const floor = { minSpread: 0.1 }
  expect(await found(config, floor)).toEqual([])
  expect(await found(config, floor, { forward: withoutStopGradient })).toEqual(['complete'])
})

test('simsiam without stop-gradient loses directions; its last batch norm keeps it from one point', async () => {
  const config = { type: 'simsiam', projector_dim: 32, predictor_hidden_dim: 16 }
  const floor = { minRank: 4 }
  expect(await found(config, floor)).toEqual([])
  expect(await found(config, floor, { forward: withoutStopGradient })).toEqual(['dimensional'])
})

test('vicreg without its variance term shrinks to a point', async () => {
  const config = { type: 'vicreg', projector_dims: [64, 64, 32] }
  const floor = { minStd: 0.05 }
  expect(await found(config, floor)).toEqual([])
  expect(await found({ ...config, std_coeff: 0 }, floor)).toEqual(['shrunken'])
})

test('dino without centring assigns every image to one prototype', async () => {
  const head = { projector_hidden_dim: 32, projector_bottleneck_dim: 16, n_prototypes: 32, freeze_last_layer: 0 }
  const teacher = { ema_decay_start: 0.9, ema_interval: 'step', temperature_teacher: 0.04 }
  const config = { type: 'dino', ...head, ...teacher, warmup_epochs_temperature_teacher: 0 }
  const [floor, lr] = [{ minSpread: 2e-3, minRank: 0 }, 3e-3]
  expect(await found(config, floor, { lr })).toEqual([])
  const tamper = ({ dinoLoss }: Record<string, unknown>): void => {
    ;(dinoLoss as DINOv1Loss).updateCenter = () => undefined
  }
  expect(await found(config, floor, { lr, tamper })).toEqual(['complete'])
})
