/** The forwards without state in modules that people compose themselves, as the README of the PyTorch library shows. */
import { describe, expect, test } from 'vitest'
import {
  BarlowTwinsLoss,
  BYOLLoss,
  DINOv1Loss,
  DINOv2Loss,
  manualSeed,
  Module,
  nn,
  NNCLRLoss,
  NTXEntLoss,
  RowQueue,
  SwAVLoss,
  TeacherStudentWrapper,
  Trainer,
  VICRegLoss,
  type Tensor,
} from 'stable-pretraining'
import { forward } from 'stable-pretraining/plugins'
import { build } from '../build.js'
import { flowers, smallBackbone } from '../../train/setup.js'

const head = { hiddenDim: 8, bottleneckDim: 4, prototypes: 6 }
const projector = (dim = 8) => nn.projector([dim, 16, 4])
const optim = { optimizer: { type: 'SGD', lr: 0.05 }, scheduler: null } as const

/** The losses of two steps on photos. */
async function losses(module: InstanceType<typeof Module>): Promise<number[]> {
  const seen: number[] = []
  const logger = { logMetrics: (metrics: Record<string, number>) => void seen.push(metrics['fit/loss_step'] ?? NaN) }
  const options = { maxSteps: 2, numSanityValSteps: 0, limitValBatches: 1, logEveryNSteps: 1, logger }
  await new Trainer(options).fit(module, await flowers())
  return seen.filter((loss) => !Number.isNaN(loss))
}

describe('a module composed by hand trains', () => {
  const modules: Record<string, () => InstanceType<typeof Module>> = {
    simclr: () =>
      new Module({
        forward: forward.simclr_forward,
        backbone: smallBackbone(),
        projector: projector(),
        simclrLoss: new NTXEntLoss({ temperature: 0.5 }),
        optim,
      }),
    byol: () =>
      new Module({
        forward: forward.byol_forward,
        backbone: new TeacherStudentWrapper(smallBackbone()),
        projector: new TeacherStudentWrapper(projector()),
        predictor: projector(4),
        byolLoss: new BYOLLoss(),
        optim,
      }),
    barlow: () =>
      new Module({
        forward: forward.barlow_twins_forward,
        backbone: smallBackbone(),
        projector: projector(),
        barlowLoss: new BarlowTwinsLoss(),
        optim,
      }),
    vicreg: () =>
      new Module({
        forward: forward.vicreg,
        backbone: smallBackbone(),
        projector: projector(),
        vicregLoss: new VICRegLoss(),
        optim,
      }),
    nnclr: () =>
      new Module({
        forward: forward.nnclr,
        backbone: smallBackbone(),
        projector: projector(),
        predictor: projector(4),
        nnclrLoss: new NNCLRLoss({ queueLength: 16 }),
        optim,
      }),
    dino: () =>
      new Module({
        forward: forward.dino_forward,
        backbone: new TeacherStudentWrapper(smallBackbone()),
        projector: new TeacherStudentWrapper(new nn.DINOHead(8, head)),
        dinoLoss: new DINOv1Loss(),
        optim,
      }),
    dinov2: () => {
      const vit = new nn.VisionTransformer({ imgSize: 16, patchSize: 4, embedDim: 8, depth: 1, numHeads: 2 })
      return new Module({
        forward: forward.dinov2_forward,
        backbone: new TeacherStudentWrapper(new nn.MaskTokenEncoder(vit)),
        projector: new TeacherStudentWrapper(new nn.DINOHead(8, head)),
        patchProjector: new TeacherStudentWrapper(new nn.DINOHead(8, head)),
        dinov2Loss: new DINOv2Loss(),
        koleoWeight: 0.1,
        optim,
      })
    },
    swav: () =>
      new Module({
        forward: forward.swav_forward,
        backbone: smallBackbone(),
        projector: projector(),
        prototypes: new nn.Linear(4, 6, { bias: false }),
        swavLoss: new SwAVLoss(),
        queue: new RowQueue(4),
        optim,
      }),
    supervised: () =>
      new Module({
        forward: forward.supervised_forward,
        backbone: smallBackbone(),
        classifier: new nn.Linear(8, 3),
        supervisedLoss: { forward: (logits: Tensor, label: Tensor) => logits.crossEntropy(label) },
        optim,
      }),
  }

  test.each(Object.entries(modules))('%s', async (_, make) => {
    manualSeed(0)
    const found = await losses(make())
    expect(found).toHaveLength(2)
    expect(found.every(Number.isFinite)).toBe(true)
  })
})

test('the plugin and the module composed by hand take the same steps', async () => {
  manualSeed(0)
  const backbone = { module: smallBackbone(), dim: 8, name: 'small' }
  const context = { backbone, totalSteps: 2, seed: 0 }
  const method = await build('method', { type: 'vicreg', projector_dims: [16, 4] }, context)
  const plugin = new Module({
    ...method.modules,
    forward: (batch, stage) => method.forward(batch, stage, {} as never),
    optim,
  })
  manualSeed(0)
  const byHand = new Module({
    forward: forward.vicreg_forward,
    backbone: smallBackbone(),
    projector: nn.projector([8, 16, 4], { lastBias: false }),
    vicregLoss: new VICRegLoss(),
    optim,
  })
  expect(await losses(byHand)).toEqual(await losses(plugin as never))
})

test('old and new names are one function', () => {
  for (const name of ['simclr', 'byol', 'vicreg', 'nnclr', 'supervised', 'dino', 'dinov2', 'swav'] as const)
    expect(forward[`${name}_forward`]).toBe(forward[name])
  expect(forward.barlow_twins_forward).toBe(forward.barlowTwins)
})
