/** ConvMixer (Trockman & Kolter 2022, arXiv:2201.09792) as stable-pretraining has it: ReLU, and a maximum over positions. */
import type { Tensor } from '../tensor/index.js'
import { ReLU } from './activation.js'
import { ModuleList, Sequential } from './containers.js'
import { Conv2d } from './convolution.js'
import { Identity, Linear } from './linear.js'
import { Module } from './module.js'
import { BatchNorm2d } from './normalization.js'
import { AdaptiveMaxPool2d } from './pooling.js'

export interface ConvMixerOptions {
  inChannels?: number
  /** Outputs of the last linear layer; null (or 0): the pooled features themselves. */
  numClasses?: number | null
  /** Channels of every layer. */
  dim?: number
  /** Blocks, each of a depthwise and a 1×1 convolution. */
  depth?: number
  /** Window of the depthwise convolutions. */
  kernelSize?: number
  /** Side of the square that becomes one position. */
  patchSize?: number
}

/** Patches, then blocks of one shape: [batch, inChannels, height, width] to [batch, dim] (or [batch, numClasses]). */
export class ConvMixer extends Module {
  conv1: Sequential
  /** The depthwise halves of the blocks, which have a shortcut. */
  blocksA: ModuleList<Sequential>
  /** The 1×1 halves. */
  blocksB: ModuleList<Sequential>
  pool = new AdaptiveMaxPool2d(1)
  fc: Linear | Identity
  /** Width of the pooled features. */
  readonly dim: number

  constructor(options: ConvMixerOptions = {}) {
    super()
    const { inChannels = 3, numClasses = null, dim = 64, depth = 6, kernelSize = 9, patchSize = 7 } = options
    const unit = (layer: Conv2d) => new Sequential(layer, new BatchNorm2d(dim), new ReLU())
    const units = (layer: () => Conv2d) => new ModuleList(Array.from({ length: depth }, () => unit(layer())))
    this.conv1 = unit(new Conv2d(inChannels, dim, patchSize, { stride: patchSize }))
    this.blocksA = units(() => new Conv2d(dim, dim, kernelSize, { groups: dim, padding: 'same' }))
    this.blocksB = units(() => new Conv2d(dim, dim, 1))
    this.dim = dim
    this.fc = numClasses ? new Linear(dim, numClasses) : new Identity()
  }

  /** Channels of the feature map. */
  get patchDim(): number {
    return this.dim
  }

  forward(x: Tensor): Tensor {
    return this.forwardHead(this.forwardFeatures(x))
  }

  /** The map after the last block, [batch, dim, height / patchSize, width / patchSize]. */
  forwardFeatures(x: Tensor): Tensor {
    let y = this.conv1.forward(x) // [batch, dim, height / patchSize, width / patchSize]
    for (const [index, depthwise] of [...this.blocksA].entries()) {
      const mixed = y.add(depthwise.forward(y))
      y = this.blocksB.items[index]?.forward(mixed) ?? mixed
    }
    return y
  }

  /** Pools the map, and classifies where there are classes. */
  forwardHead(features: Tensor): Tensor {
    return this.fc.forward(this.pool.forward(features).flatten(1))
  }
}
