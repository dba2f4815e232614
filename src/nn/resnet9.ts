/** ResNet-9, the small residual network for images of about 32 pixels, as stable-pretraining has it. */
import type { Tensor } from '../tensor/index.js'
import { ReLU } from './activation.js'
import { Sequential } from './containers.js'
import { Conv2d } from './convolution.js'
import { Identity, Linear } from './linear.js'
import { type Layer, Module } from './module.js'
import { BatchNorm2d, normRelu } from './normalization.js'
import { AdaptiveMaxPool2d, MaxPool2d } from './pooling.js'

export interface ResNet9Options {
  inChannels?: number
  /** Outputs of the last linear layer; null: the 1024 pooled features themselves. */
  numClasses?: number | null
  /** Share of the new batch in the running statistics of every batch norm. */
  bnMomentum?: number
}

/** [batch, inChannels, height, width] to [batch, 1024] (or [batch, numClasses]); sides of 8 pixels or more. */
export class ResNet9 extends Module {
  conv: Sequential
  fc: Linear | Identity
  /** Width of the pooled features: 256 channels at 2×2 places. */
  readonly dim = 1024

  constructor({ inChannels = 3, numClasses = null, bnMomentum = 0.9 }: ResNet9Options = {}) {
    super()
    const unit = (from: number, to: number): Layer[] => [
      convolution(from, to),
      new BatchNorm2d(to, { momentum: bnMomentum }),
      new ReLU(),
    ]
    this.conv = new Sequential(
      ...unit(inChannels, 64),
      ...unit(64, 128),
      new MaxPool2d(2),
      new ResNet9Block(128, bnMomentum),
      ...unit(128, 256),
      new MaxPool2d(2),
      ...unit(256, 256),
      new MaxPool2d(2),
      new ResNet9Block(256, bnMomentum),
      new AdaptiveMaxPool2d(2),
    )
    this.fc = numClasses ? new Linear(this.dim, numClasses) : new Identity()
  }

  /** Channels of the feature map. */
  readonly patchDim = 256

  forward(x: Tensor): Tensor {
    return this.fc.forward(this.conv.forward(x).flatten(1))
  }

  /** The map before the last pooling, [batch, 256, height / 8, width / 8]. */
  forwardFeatures(x: Tensor): Tensor {
    return this.conv.layers.slice(0, -1).reduce((value, layer) => layer.forward(value), x)
  }

  /** Pools the map to 2×2 places, and classifies where there are classes. */
  forwardHead(features: Tensor): Tensor {
    return this.fc.forward(this.conv.at(-1).forward(features).flatten(1))
  }
}

/** Two 3×3 convolutions with a ReLU after each, plus the input; no ReLU after the sum. */
export class ResNet9Block extends Module {
  convRes1: Conv2d
  convRes1Bn: BatchNorm2d
  convRes2: Conv2d
  convRes2Bn: BatchNorm2d
  relu = new ReLU()

  constructor(channels: number, momentum: number) {
    super()
    this.convRes1 = convolution(channels, channels)
    this.convRes1Bn = new BatchNorm2d(channels, { momentum })
    this.convRes2 = convolution(channels, channels)
    this.convRes2Bn = new BatchNorm2d(channels, { momentum })
  }

  forward(x: Tensor): Tensor {
    const inner = normRelu(this.convRes1Bn, this.relu, this.convRes1.forward(x))
    return normRelu(this.convRes2Bn, this.relu, this.convRes2.forward(inner)).add(x)
  }
}

function convolution(inChannels: number, outChannels: number): Conv2d {
  return new Conv2d(inChannels, outChannels, 3, { padding: 1, bias: false })
}
