/** Images that a small network can learn in seconds, and such a network. They stand for no real data. */
import * as nn from '../nn/index.js'
import { Generator, arange, randn, scope, tensor, type Tensor } from '../tensor/index.js'

export interface SyntheticBatch {
  readonly views: readonly { image: Tensor; label: Tensor }[]
  readonly image: Tensor
  readonly label: Tensor
  readonly index: Tensor
  readonly [key: string]: unknown
}

/** Two noisy views [batch, 3, side, side] of images whose class is the mean of each channel, and the labels [batch]. */
export function syntheticBatch(
  step: number,
  size: { batchSize: number; classes: number; side: number },
): SyntheticBatch {
  const { batchSize, classes, side } = size
  const labels = Array.from({ length: batchSize }, (_, i) => i % classes)
  const colours = labels.map((label) =>
    [0, 1, 2].map((channel) => Math.cos((2 * Math.PI * (label + channel * classes * 0.4)) / classes)),
  )
  return scope(() => {
    const generator = new Generator(step + 1)
    const own = randn([batchSize, 3, 1, 1], { generator }).mul(0.2)
    const clean = tensor(colours).reshape([batchSize, 3, 1, 1]).add(own)
    const label = tensor(labels, { dtype: 'int64' })
    const views = [0, 1].map(() => ({
      image: clean.add(randn([batchSize, 3, side, side], { generator }).mul(0.3)),
      label,
    }))
    return { views, image: views[0]!.image, label, index: arange(batchSize) }
  })
}

/** Images [batch, 3, height, width] to embeddings [batch, 32]. */
export function smallBackbone(): { module: nn.Module; dim: number; name: string } {
  const module = new nn.Sequential(
    new nn.Conv2d(3, 16, 3, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.Conv2d(16, 32, 3, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(32),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
  )
  return { module, dim: 32, name: 'small' }
}

/** Images [batch, 3, side, side] to embeddings [batch, 32]: a vision transformer of two blocks. */
export function smallTransformer(side = 16): { module: nn.VisionTransformer; dim: number; name: string } {
  const module = new nn.VisionTransformer({ imgSize: side, patchSize: side / 4, embedDim: 32, depth: 2, numHeads: 2 })
  return { module, dim: 32, name: 'small-transformer' }
}

/** Values on the JavaScript side, as plain numbers. */
export async function numbers(values: Tensor): Promise<number[]> {
  return Array.from(await values.data(), Number)
}
