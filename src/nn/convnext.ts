/** ConvNeXt under timm's parameter names (Liu et al. 2022, arXiv:2201.03545). */
import { full, type Tensor } from '../tensor/index.js'
import { GELU } from './activation.js'
import { Sequential } from './containers.js'
import { Conv2d } from './convolution.js'
import { DropPath } from './dropout.js'
import { truncNormal_, zeros_ } from './init.js'
import { Identity, Linear } from './linear.js'
import { Module, parameter } from './module.js'
import { LayerNorm, LayerNorm2d } from './normalization.js'
import { AdaptiveAvgPool2d } from './pooling.js'

export interface ConvNeXtOptions {
  inChannels?: number
  /** Outputs of the last linear layer; null (or 0): the pooled, normalised features themselves. */
  numClasses?: number | null
  /** Probability that the last block's residual is dropped; that of the others grows linearly from 0. */
  dropPathRate?: number
  /** Start value of the factor on each residual; null: there is no factor. */
  layerScaleInit?: number | null
}

/** Four stages: [batch, inChannels, height, width] to [batch, dim] (or [batch, numClasses]); the stem shrinks by 4. */
export class ConvNeXt extends Module {
  stem: Sequential
  stages: Sequential
  head: ConvNeXtHead
  /** Width of the pooled features. */
  readonly dim: number

  /** `depths`: blocks in each stage; `dims`: channels of each stage. */
  constructor(depths: readonly number[], dims: readonly number[], options: ConvNeXtOptions = {}) {
    super()
    const { inChannels = 3, numClasses = null, dropPathRate = 0, layerScaleInit = 1e-6 } = options
    const first = dims[0] ?? 0
    this.stem = new Sequential(convolution(inChannels, first, 4, 4), new LayerNorm2d(first))
    const total = depths.reduce((sum, depth) => sum + depth, 0)
    let block = 0
    this.stages = new Sequential(
      ...depths.map((depth, index) => {
        const rates = Array.from({ length: depth }, () => (dropPathRate * block++) / Math.max(1, total - 1))
        return new ConvNeXtStage(dims[index - 1] ?? first, dims[index] ?? 0, index > 0, rates, layerScaleInit)
      }),
    )
    this.dim = dims.at(-1) ?? 0
    this.head = new ConvNeXtHead(this.dim, numClasses)
  }

  /** Channels of the feature map. */
  get patchDim(): number {
    return this.dim
  }

  forward(x: Tensor): Tensor {
    return this.forwardHead(this.forwardFeatures(x))
  }

  /** The map after the last stage, [batch, dim, height / 32, width / 32]. */
  forwardFeatures(x: Tensor): Tensor {
    return this.stages.forward(this.stem.forward(x))
  }

  /** Pools the map, and classifies where there are classes. */
  forwardHead(features: Tensor): Tensor {
    return this.head.forward(features)
  }
}

/** Halves the image (except in the first stage), then runs its blocks. */
export class ConvNeXtStage extends Module {
  downsample: Sequential | Identity
  blocks: Sequential

  constructor(inChannels: number, dim: number, halve: boolean, dropPath: readonly number[], scale: number | null) {
    super()
    this.downsample = halve
      ? new Sequential(new LayerNorm2d(inChannels), convolution(inChannels, dim, 2, 2))
      : new Identity()
    this.blocks = new Sequential(...dropPath.map((rate) => new ConvNeXtBlock(dim, rate, scale)))
  }

  forward(x: Tensor): Tensor {
    return this.blocks.forward(this.downsample.forward(x))
  }
}

/** Depthwise 7×7 convolution, then a perceptron on each position; [batch, dim, height, width] to the same shape. */
export class ConvNeXtBlock extends Module {
  gamma: Tensor | null
  convDw: Conv2d
  norm: LayerNorm
  mlp: ConvNeXtMlp
  dropPath: DropPath

  constructor(dim: number, dropPath: number, layerScaleInit: number | null) {
    super()
    this.gamma = layerScaleInit === null ? null : parameter(full([dim], layerScaleInit))
    this.convDw = convolution(dim, dim, 7, 1, { padding: 3, groups: dim })
    this.norm = new LayerNorm(dim, { eps: 1e-6 })
    this.mlp = new ConvNeXtMlp(dim, 4 * dim)
    this.dropPath = new DropPath(dropPath)
  }

  forward(x: Tensor): Tensor {
    const channelsLast = this.convDw.forward(x).permute([0, 2, 3, 1]) // [batch, height, width, dim]
    const mixed = this.mlp.forward(this.norm.forward(channelsLast))
    const scaled = this.gamma ? mixed.mul(this.gamma) : mixed
    return x.add(this.dropPath.forward(scaled.permute([0, 3, 1, 2])))
  }
}

class ConvNeXtMlp extends Module {
  fc1: Linear
  act = new GELU()
  fc2: Linear

  constructor(dim: number, hidden: number) {
    super()
    this.fc1 = linear(dim, hidden)
    this.fc2 = linear(hidden, dim)
  }

  forward(x: Tensor): Tensor {
    return this.fc2.forward(this.act.forward(this.fc1.forward(x)))
  }
}

/** Mean over all positions, layer norm, and a linear layer if there are classes. */
class ConvNeXtHead extends Module {
  globalPool = new AdaptiveAvgPool2d(1)
  norm: LayerNorm2d
  fc: Linear | Identity

  constructor(dim: number, numClasses: number | null) {
    super()
    this.norm = new LayerNorm2d(dim)
    this.fc = numClasses ? linear(dim, numClasses) : new Identity()
  }

  forward(x: Tensor): Tensor {
    return this.fc.forward(this.norm.forward(this.globalPool.forward(x)).flatten(1))
  }
}

const widths = [96, 192, 384, 768]

export const convnextTiny = (options?: ConvNeXtOptions) => new ConvNeXt([3, 3, 9, 3], widths, options)
export const convnextSmall = (options?: ConvNeXtOptions) => new ConvNeXt([3, 3, 27, 3], widths, options)
export const convnextBase = (options?: ConvNeXtOptions) => new ConvNeXt([3, 3, 27, 3], [128, 256, 512, 1024], options)

/** timm's start values: weights from a normal distribution of deviation 0.02, biases 0. */
function convolution(
  inChannels: number,
  outChannels: number,
  kernelSize: number,
  stride: number,
  { padding = 0, groups = 1 } = {},
): Conv2d {
  const layer = new Conv2d(inChannels, outChannels, kernelSize, { stride, padding, groups })
  return withStartValues(layer)
}

function linear(inFeatures: number, outFeatures: number): Linear {
  return withStartValues(new Linear(inFeatures, outFeatures))
}

function withStartValues<L extends Conv2d | Linear>(layer: L): L {
  truncNormal_(layer.weight, { std: 0.02 })
  if (layer.bias) zeros_(layer.bias)
  return layer
}
