/** A small run on real photos for the tests of training: 18 flowers, a network that trains in milliseconds. */
import { fileURLToPath } from 'node:url'
import { DataLoader, DataModule, ImageFolderDataset, MultiViewTransform, type Step } from '../../src/data/index.js'
import { NTXEntLoss } from '../../src/losses/index.js'
import * as nn from '../../src/nn/index.js'
import { cat, manualSeed, type Tensor } from '../../src/tensor/index.js'
import { Module, type TrainingModule } from '../../src/train/module.js'
import { labelsOf, viewsOf } from '../../src/train/views.js'

export const photos = fileURLToPath(new URL('../fixtures/data/photos', import.meta.url))

const normalize: Step = { type: 'normalize', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
const view: Step[] = [
  {
    type: 'random-resized-crop',
    size: [16, 16],
    scale: [0.3, 1],
    ratio: [3 / 4, 4 / 3],
    interpolation: 'bilinear',
    antialias: true,
  },
  { type: 'random-horizontal-flip', p: 0.5 },
  normalize,
]
const plain: Step[] = [
  { type: 'resize', size: 16, interpolation: 'bilinear', antialias: true },
  { type: 'center-crop', size: [16, 16] },
  normalize,
]

/** 18 photos in 3 classes: batches of two views to train on (4 an epoch), of one view to validate on (3). */
export async function flowers({ numWorkers = 2, batchSize = 4, seed = 0 } = {}): Promise<DataModule> {
  const dataset = await ImageFolderDataset.open(photos)
  const transform = new MultiViewTransform([{ steps: view }, { steps: view }])
  return new DataModule({
    train: new DataLoader({ dataset, batchSize, shuffle: true, dropLast: true, numWorkers, transform, seed }),
    val: new DataLoader({ dataset, batchSize: 6, numWorkers, transform: { steps: plain }, seed }),
  })
}

/** [batch, 3, 16, 16] → [batch, 8]: convolution, batch norm, pooling. */
export function smallBackbone(): nn.Layer {
  return new nn.Sequential(
    new nn.Conv2d(3, 8, 3, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
  )
}

/** SimCLR by hand, on a small backbone. */
export function smallSimclr({
  seed = 0,
  lr = 0.05,
  ...rest
}: { seed?: number; lr?: number; optim?: null } = {}): TrainingModule {
  manualSeed(seed)
  const loss = new NTXEntLoss({ temperature: 0.5 })
  return new Module({
    forward(batch, stage) {
      const views = viewsOf(batch)
      const embedding = this.backbone.forward(cat(views.map(({ image }) => image)))
      const label = labelsOf(views)
      if (stage !== 'fit') return { embedding, ...label }
      const [first, second] = this.projector.forward(embedding).chunk(2, 0) as [Tensor, Tensor]
      return { loss: loss.forward(first, second), embedding, ...label }
    },
    backbone: smallBackbone(),
    projector: new nn.Linear(8, 8, { bias: false }),
    optim: { optimizer: { type: 'SGD', lr, momentum: 0.9 } },
    ...rest,
  })
}
