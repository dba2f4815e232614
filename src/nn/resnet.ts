/** Residual networks under torchvision's parameter names (He et al. 2016, arXiv:1512.03385). */
import type { Tensor } from '../tensor/index.js'
import { ReLU } from './activation.js'
import { Sequential } from './containers.js'
import { Conv2d } from './convolution.js'
import { kaimingNormal_ } from './init.js'
import { Identity, Linear } from './linear.js'
import { Module } from './module.js'
import { BatchNorm2d, normRelu } from './normalization.js'
import { AdaptiveAvgPool2d, MaxPool2d } from './pooling.js'

/** Two 3×3 convolutions beside a shortcut: the block of ResNet-18 and -34. */
export class BasicBlock extends Module {
  static readonly expansion = 1
  conv1: Conv2d
  bn1: BatchNorm2d
  relu = new ReLU()
  conv2: Conv2d
  bn2: BatchNorm2d
  downsample: Sequential | null

  constructor(inChannels: number, width: number, stride: number, downsample: Sequential | null) {
    super()
    this.conv1 = convolution(inChannels, width, 3, stride)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = convolution(width, width, 3, 1)
    this.bn2 = new BatchNorm2d(width)
    this.downsample = downsample
  }

  forward(x: Tensor): Tensor {
    const inner = normRelu(this.bn1, this.relu, this.conv1.forward(x))
    return normRelu(this.bn2, this.relu, this.conv2.forward(inner), this.downsample?.forward(x) ?? x)
  }
}

/** 1×1, 3×3 (which carries the stride, as in torchvision), 1×1 to four times the width: the block of ResNet-50. */
export class Bottleneck extends Module {
  static readonly expansion = 4
  conv1: Conv2d
  bn1: BatchNorm2d
  conv2: Conv2d
  bn2: BatchNorm2d
  conv3: Conv2d
  bn3: BatchNorm2d
  relu = new ReLU()
  downsample: Sequential | null

  constructor(inChannels: number, width: number, stride: number, downsample: Sequential | null) {
    super()
    this.conv1 = convolution(inChannels, width, 1, 1)
    this.bn1 = new BatchNorm2d(width)
    this.conv2 = convolution(width, width, 3, stride)
    this.bn2 = new BatchNorm2d(width)
    this.conv3 = convolution(width, width * Bottleneck.expansion, 1, 1)
    this.bn3 = new BatchNorm2d(width * Bottleneck.expansion)
    this.downsample = downsample
  }

  forward(x: Tensor): Tensor {
    const narrow = normRelu(this.bn1, this.relu, this.conv1.forward(x))
    const inner = normRelu(this.bn2, this.relu, this.conv2.forward(narrow))
    return normRelu(this.bn3, this.relu, this.conv3.forward(inner), this.downsample?.forward(x) ?? x)
  }
}

export type ResNetBlock = typeof BasicBlock | typeof Bottleneck

export interface ResNetOptions {
  inChannels?: number
  /** Outputs of the last linear layer; null (or 0): the pooled features themselves. */
  numClasses?: number | null
  /** For images of about 32 pixels: a 3×3 stem with stride 1 and no max-pool. */
  lowResolution?: boolean
  /** Channels of the stem and the first stage, doubled by each further stage; torchvision's networks have 64. */
  width?: number
}

/** Four stages of residual blocks: [batch, inChannels, height, width] to [batch, dim] (or [batch, numClasses]). */
export class ResNet extends Module {
  conv1: Conv2d
  bn1: BatchNorm2d
  relu = new ReLU()
  maxpool: MaxPool2d | Identity
  layer1: Sequential
  layer2: Sequential
  layer3: Sequential
  layer4: Sequential
  avgpool = new AdaptiveAvgPool2d(1)
  fc: Linear | Identity
  /** Width of the pooled features. */
  readonly dim: number

  /** `layers`: blocks in each of the four stages. */
  constructor(
    block: ResNetBlock,
    layers: readonly [number, number, number, number],
    { inChannels = 3, numClasses = null, lowResolution = false, width = 64 }: ResNetOptions = {},
  ) {
    super()
    this.conv1 = lowResolution ? convolution(inChannels, width, 3, 1) : convolution(inChannels, width, 7, 2)
    this.bn1 = new BatchNorm2d(width)
    this.maxpool = lowResolution ? new Identity() : new MaxPool2d(3, { stride: 2, padding: 1 })
    const { expansion } = block
    this.layer1 = stage(block, width, width, layers[0], 1)
    this.layer2 = stage(block, width * expansion, 2 * width, layers[1], 2)
    this.layer3 = stage(block, 2 * width * expansion, 4 * width, layers[2], 2)
    this.layer4 = stage(block, 4 * width * expansion, 8 * width, layers[3], 2)
    this.dim = 8 * width * expansion
    this.fc = !numClasses ? new Identity() : new Linear(this.dim, numClasses)
  }

  /** Channels of the feature map. */
  get patchDim(): number {
    return this.dim
  }

  forward(x: Tensor): Tensor {
    return this.forwardHead(this.forwardFeatures(x))
  }

  /** The map after the last stage, [batch, patchDim, height / 32, width / 32] (height / 8 with `lowResolution`). */
  forwardFeatures(x: Tensor): Tensor {
    let y = this.maxpool.forward(normRelu(this.bn1, this.relu, this.conv1.forward(x)))
    for (const layer of [this.layer1, this.layer2, this.layer3, this.layer4]) y = layer.forward(y)
    return y
  }

  /** Pools the map, and classifies where there are classes. */
  forwardHead(features: Tensor): Tensor {
    return this.fc.forward(this.avgpool.forward(features).flatten(1))
  }
}

export const resnet18 = (options?: ResNetOptions) => new ResNet(BasicBlock, [2, 2, 2, 2], options)
export const resnet34 = (options?: ResNetOptions) => new ResNet(BasicBlock, [3, 4, 6, 3], options)
export const resnet50 = (options?: ResNetOptions) => new ResNet(Bottleneck, [3, 4, 6, 3], options)
export const resnet101 = (options?: ResNetOptions) => new ResNet(Bottleneck, [3, 4, 23, 3], options)
export const resnet152 = (options?: ResNetOptions) => new ResNet(Bottleneck, [3, 8, 36, 3], options)

/** Without bias and "same" for stride 1; torchvision's start values (He et al. 2015, fan out). */
function convolution(inChannels: number, outChannels: number, kernelSize: number, stride: number): Conv2d {
  const layer = new Conv2d(inChannels, outChannels, kernelSize, { stride, padding: (kernelSize - 1) / 2, bias: false })
  kaimingNormal_(layer.weight, { mode: 'fan_out', nonlinearity: 'relu' })
  return layer
}

function stage(block: ResNetBlock, inChannels: number, width: number, blocks: number, stride: number): Sequential {
  const outChannels = width * block.expansion
  const changes = stride !== 1 || inChannels !== outChannels
  const downsample = changes
    ? new Sequential(convolution(inChannels, outChannels, 1, stride), new BatchNorm2d(outChannels))
    : null
  const first = new block(inChannels, width, stride, downsample)
  const rest = Array.from({ length: blocks - 1 }, () => new block(outChannels, width, 1, null))
  return new Sequential(first, ...rest)
}
