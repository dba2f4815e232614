/** Batch, instance, layer, group and root-mean-square normalisation under torch.nn's names; each keeps the shape. */
import { SptError } from '../errors.js'
import { noGrad, ones, scope, type Tensor, zeros } from '../tensor/index.js'
import { ReLU } from './activation.js'
import { type Cost, type Layer, Module, parameter } from './module.js'

/** As fvcore counts: 5 operations a value where the statistics are taken from the input, 4 without a weight. */
function measured(output: Tensor, weight: Tensor | null): Cost {
  return { flops: output.numel * (weight ? 5 : 4) }
}

export interface BatchNormOptions {
  eps?: number
  /** Share of the new batch in the running statistics. */
  momentum?: number
  affine?: boolean
  trackRunningStats?: boolean
}

/** Normalises each channel over the batch and all positions; the running variance is the unbiased one, as in PyTorch. */
abstract class BatchNorm extends Module {
  readonly numFeatures: number
  readonly eps: number
  readonly momentum: number
  weight: Tensor | null
  bias: Tensor | null
  runningMean: Tensor | null = null
  runningVar: Tensor | null = null
  numBatchesTracked: Tensor | null = null

  constructor(
    numFeatures: number,
    { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true }: BatchNormOptions = {},
  ) {
    super()
    this.numFeatures = numFeatures
    this.eps = eps
    this.momentum = momentum
    this.weight = affine ? parameter(ones([numFeatures])) : null
    this.bias = affine ? parameter(zeros([numFeatures])) : null
    if (trackRunningStats) {
      this.runningMean = this.registerBuffer('runningMean', zeros([numFeatures]))
      this.runningVar = this.registerBuffer('runningVar', ones([numFeatures]))
      this.numBatchesTracked = this.registerBuffer('numBatchesTracked', zeros([], { dtype: 'int64' }))
    }
  }

  protected abstract readonly axes: readonly number[]

  forward(input: Tensor): Tensor {
    this.check(input)
    return this.normalise(input)
  }

  /** @throws ERR_SHAPE for an input of other axes or channels. */
  protected check(input: Tensor): void {
    if (!this.axes.includes(input.ndim) || input.shape[1] !== this.numFeatures) {
      throw new SptError(
        'ERR_SHAPE',
        `${this.constructor.name} of ${this.numFeatures} channels takes ${this.axes.join(' or ')} axes with the channels ` +
          `second, got [${input.shape.join(', ')}]`,
      )
    }
  }

  /** Known statistics are one multiplication and one addition a value. */
  override cost(_: readonly unknown[], output: Tensor): Cost {
    return this.training || !this.runningMean ? measured(output, this.weight) : { flops: 2 * output.numel }
  }

  protected normalise(input: Tensor): Tensor {
    return input.batchNorm(...this.step())
  }

  /** Counts a batch in training; what the native operation takes. */
  protected step() {
    const { runningMean, runningVar, weight, bias, momentum, eps } = this
    if (this.training) this.numBatchesTracked?.add_(1)
    return [runningMean, runningVar, weight, bias, this.training || !runningMean, momentum, eps] as const
  }
}

/** Of [batch, features] or [batch, channels, length]; torch.nn.BatchNorm1d. */
export class BatchNorm1d extends BatchNorm {
  protected readonly axes = [2, 3]
}

/** A BatchNorm1d whose bias stays 0 and is not trained, as the last layer of some projectors; the bias is in the state dict. */
export class BatchNorm1dNoBias extends BatchNorm1d {
  constructor(numFeatures: number, options: Omit<BatchNormOptions, 'affine'> = {}) {
    super(numFeatures, options)
    if (this.bias) this.bias.requiresGrad = false
  }
}

/** Of [batch, channels, height, width]; torch.nn.BatchNorm2d. */
export class BatchNorm2d extends BatchNorm {
  protected readonly axes = [4]

  /** relu(forward(input) + residual) in one native operation. */
  forwardRelu(input: Tensor, residual?: Tensor): Tensor {
    this.check(input)
    return input.batchNormRelu(residual ?? null, ...this.step())
  }
}

/**
 * relu(norm(input) + residual). A batch norm and a ReLU are one native operation, bit for bit the same, which neither keeps
 * nor stores what lies between; layers that somebody watches, and others, run one by one.
 */
export function normRelu(norm: Layer, relu: Layer, input: Tensor, residual?: Tensor): Tensor {
  const apart = norm.isWatched || relu.isWatched || relu.constructor !== ReLU
  if (!apart && norm instanceof BatchNorm2d && norm.constructor === BatchNorm2d)
    return norm.forwardRelu(input, residual)
  const normalised = norm.forward(input)
  return relu.forward(residual ? normalised.add(residual) : normalised)
}

/**
 * Normalises each channel of each sample over its positions. Without running statistics (the default) training and
 * evaluation do the same.
 */
abstract class InstanceNorm extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super(numFeatures, { affine: false, trackRunningStats: false, ...options })
  }

  protected override normalise(input: Tensor): Tensor {
    const { runningMean, runningVar, weight, bias, momentum, eps } = this
    if (runningMean && runningVar && !this.training) {
      return input.batchNorm(runningMean, runningVar, weight, bias, false, momentum, eps)
    }
    if (runningMean && runningVar) this.#track(input.detach(), runningMean, runningVar)
    return input.groupNorm(this.numFeatures, weight, bias, eps)
  }

  /** The running statistics follow the mean over the batch of the samples' own, the variance being the unbiased one. */
  #track(input: Tensor, runningMean: Tensor, runningVar: Tensor): void {
    const positions = input.shape.map((_, axis) => axis).slice(2)
    const follow = (running: Tensor, now: Tensor) =>
      running.copy_(running.mul(1 - this.momentum).add(now.mean(0).mul(this.momentum)))
    scope(() => {
      noGrad(() => {
        follow(runningMean, input.mean(positions)) // [batch, channels]
        follow(runningVar, input.var(positions, 1))
      })
    })
  }
}

/** Of [batch, channels, length]; torch.nn.InstanceNorm1d. */
export class InstanceNorm1d extends InstanceNorm {
  protected readonly axes = [3]
}

/** Of [batch, channels, height, width]; torch.nn.InstanceNorm2d. */
export class InstanceNorm2d extends InstanceNorm {
  protected readonly axes = [4]
}

export interface LayerNormOptions {
  eps?: number
  elementwiseAffine?: boolean
  bias?: boolean
}

/** Normalises over the last axes, whose sizes are `normalizedShape`; torch.nn.LayerNorm. */
export class LayerNorm extends Module {
  readonly normalizedShape: number[]
  readonly eps: number
  weight: Tensor | null
  bias: Tensor | null

  constructor(
    normalizedShape: number | number[],
    { eps = 1e-5, elementwiseAffine = true, bias = true }: LayerNormOptions = {},
  ) {
    super()
    this.normalizedShape = [normalizedShape].flat()
    this.eps = eps
    this.weight = elementwiseAffine ? parameter(ones(this.normalizedShape)) : null
    this.bias = elementwiseAffine && bias ? parameter(zeros(this.normalizedShape)) : null
  }

  forward(input: Tensor): Tensor {
    return input.layerNorm(this.normalizedShape, this.weight, this.bias, this.eps)
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return measured(output, this.weight)
  }
}

/** Layer norm over the channel axis of [batch, channels, height, width]; timm's LayerNorm2d. */
export class LayerNorm2d extends Module {
  readonly eps: number
  weight: Tensor
  bias: Tensor

  constructor(channels: number, { eps = 1e-6 } = {}) {
    super()
    this.eps = eps
    this.weight = parameter(ones([channels]))
    this.bias = parameter(zeros([channels]))
  }

  forward(input: Tensor): Tensor {
    const channelsLast = input.permute([0, 2, 3, 1]) // [batch, height, width, channels]
    return channelsLast.layerNorm(this.weight.shape, this.weight, this.bias, this.eps).permute([0, 3, 1, 2])
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return measured(output, this.weight)
  }
}

/** Normalises groups of channels of [batch, channels, …] over all positions; torch.nn.GroupNorm. */
export class GroupNorm extends Module {
  readonly numGroups: number
  readonly eps: number
  weight: Tensor | null
  bias: Tensor | null

  constructor(numGroups: number, numChannels: number, { eps = 1e-5, affine = true } = {}) {
    super()
    if (numChannels % numGroups !== 0) {
      throw new SptError('ERR_ARGUMENT', `${numChannels} channels do not divide into ${numGroups} groups`)
    }
    this.numGroups = numGroups
    this.eps = eps
    this.weight = affine ? parameter(ones([numChannels])) : null
    this.bias = affine ? parameter(zeros([numChannels])) : null
  }

  forward(input: Tensor): Tensor {
    return input.groupNorm(this.numGroups, this.weight, this.bias, this.eps)
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return measured(output, this.weight)
  }
}

/**
 * Divides by the root mean square over the last axes (Zhang & Sennrich 2019, arXiv:1910.07467); torch.nn.RMSNorm. Without
 * `eps` it is the type's own, 1.19e-7 in float32.
 */
export class RMSNorm extends Module {
  readonly normalizedShape: number[]
  readonly eps: number | null
  weight: Tensor | null

  constructor(
    normalizedShape: number | number[],
    { eps = null, elementwiseAffine = true }: { eps?: number | null; elementwiseAffine?: boolean } = {},
  ) {
    super()
    this.normalizedShape = [normalizedShape].flat()
    this.eps = eps
    this.weight = elementwiseAffine ? parameter(ones(this.normalizedShape)) : null
  }

  forward(input: Tensor): Tensor {
    return input.rmsNorm(this.normalizedShape, this.weight, this.eps)
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return measured(output, this.weight)
  }
}
