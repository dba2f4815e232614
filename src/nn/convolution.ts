/** Convolutions over one and two axes, and the transposed one over two. */
import { SptError } from '../errors.js'
import { conv1d, empty, type Tensor } from '../tensor/index.js'
import { calculateFans, kaimingUniform_, uniform_ } from './init.js'
import { type Cost, Module, parameter } from './module.js'

type Pair = [number, number]
/** One number for both axes, or [vertical, horizontal]. */
export type Size2d = number | Pair

export interface ConvolutionOptions<Size> {
  stride?: Size
  padding?: Size
  dilation?: Size
  groups?: number
  bias?: boolean
}

export interface Conv2dOptions extends Omit<ConvolutionOptions<Size2d>, 'padding'> {
  /** 'same' keeps height and width (stride 1 only; what is odd goes right and below); 'valid' is 0. */
  padding?: Size2d | 'same' | 'valid'
  /** What stands in the padding. */
  paddingMode?: 'zeros' | 'reflect' | 'replicate' | 'circular'
}

/**
 * Cross-correlation of [batch, inChannels, height, width] to [batch, outChannels, height', width'], torch.nn.Conv2d; the
 * weight is [outChannels, inChannels / groups, kernel height, kernel width], the bias [outChannels].
 */
export class Conv2d extends Module {
  readonly kernelSize: Pair
  readonly stride: Pair
  readonly padding: Pair | 'same' | 'valid'
  readonly paddingMode: 'zeros' | 'reflect' | 'replicate' | 'circular'
  readonly dilation: Pair
  readonly groups: number
  weight: Tensor
  bias: Tensor | null

  constructor(inChannels: number, outChannels: number, kernelSize: Size2d, options: Conv2dOptions = {}) {
    super()
    const { stride = 1, padding = 0, paddingMode = 'zeros', dilation = 1, groups = 1, bias = true } = options
    checkGroups(inChannels, outChannels, groups)
    this.kernelSize = pair(kernelSize)
    this.stride = pair(stride)
    this.padding = typeof padding === 'string' ? padding : pair(padding)
    this.paddingMode = paddingMode
    this.dilation = pair(dilation)
    this.groups = groups
    this.weight = parameter(empty([outChannels, inChannels / groups, ...this.kernelSize]))
    this.bias = bias ? parameter(empty([outChannels])) : null
    resetConvolution(this.weight, this.bias)
  }

  forward(input: Tensor): Tensor {
    const { weight, bias, stride, padding, paddingMode, dilation, groups } = this
    if (paddingMode === 'zeros') return input.conv2d(weight, bias, stride, padding, dilation, groups)
    return input.pad(this.#amounts(), paddingMode).conv2d(weight, bias, stride, 0, dilation, groups)
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return { macs: output.numel * productsOf(this.weight) }
  }

  /** Left, right, top and bottom, as `pad` wants them. */
  #amounts(): number[] {
    const { padding, kernelSize, dilation } = this
    const [top, left] = padding === 'valid' ? [0, 0] : padding === 'same' ? [0, 1].map(missing) : padding
    function missing(axis: number): number {
      return ((dilation[axis] ?? 1) * ((kernelSize[axis] ?? 1) - 1)) / 2
    }
    return [left, left, top, top].map((amount = 0, side) => (side % 2 ? Math.ceil(amount) : Math.floor(amount)))
  }
}

/** Cross-correlation of [batch, inChannels, length], torch.nn.Conv1d; the weight is [out, in / groups, kernel]. */
export class Conv1d extends Module {
  readonly options: { stride: number; padding: number; dilation: number; groups: number }
  weight: Tensor
  bias: Tensor | null

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true }: ConvolutionOptions<number> = {},
  ) {
    super()
    checkGroups(inChannels, outChannels, groups)
    this.options = { stride, padding, dilation, groups }
    this.weight = parameter(empty([outChannels, inChannels / groups, kernelSize]))
    this.bias = bias ? parameter(empty([outChannels])) : null
    resetConvolution(this.weight, this.bias)
  }

  forward(input: Tensor): Tensor {
    return conv1d(input, this.weight, this.bias, this.options)
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return { macs: output.numel * productsOf(this.weight) }
  }
}

/**
 * The gradient of a Conv2d as a layer, torch.nn.ConvTranspose2d: [batch, inChannels, height, width] to [batch, outChannels,
 * (height − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1, …]; the weight is [in, out / groups, kernel
 * height, kernel width].
 */
export class ConvTranspose2d extends Module {
  readonly options: { stride: Pair; padding: Pair; outputPadding: Pair; dilation: Pair; groups: number }
  weight: Tensor
  bias: Tensor | null

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size2d,
    options: ConvolutionOptions<Size2d> & { outputPadding?: Size2d } = {},
  ) {
    super()
    const { stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups = 1, bias = true } = options
    checkGroups(inChannels, outChannels, groups)
    this.options = {
      stride: pair(stride),
      padding: pair(padding),
      outputPadding: pair(outputPadding),
      dilation: pair(dilation),
      groups,
    }
    this.weight = parameter(empty([inChannels, outChannels / groups, ...pair(kernelSize)]))
    this.bias = bias ? parameter(empty([outChannels])) : null
    resetConvolution(this.weight, this.bias)
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, outputPadding, groups, dilation } = this.options
    return input.convTranspose2d(this.weight, this.bias, stride, padding, outputPadding, groups, dilation)
  }

  override cost(inputs: readonly unknown[]): Cost {
    return { macs: (inputs[0] as Tensor).numel * productsOf(this.weight) }
  }
}

/** Products that one value of the first axis takes part in: all other axes of the weight. */
function productsOf(weight: Tensor): number {
  return weight.shape.slice(1).reduce((product, size) => product * size, 1)
}

/** One number twice, or the two as they are. */
export function pair(size: Size2d): Pair {
  return typeof size === 'number' ? [size, size] : size
}

/** PyTorch's start values: weight and bias uniform in ±1/√fan_in. */
function resetConvolution(weight: Tensor, bias: Tensor | null): void {
  kaimingUniform_(weight, { a: Math.sqrt(5) })
  const { fanIn } = calculateFans(weight)
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0
  if (bias) uniform_(bias, -bound, bound)
}

function checkGroups(inChannels: number, outChannels: number, groups: number): void {
  if (inChannels % groups === 0 && outChannels % groups === 0) return
  throw new SptError(
    'ERR_ARGUMENT',
    `groups is ${groups}, but ${inChannels} → ${outChannels} channels do not divide by it`,
  )
}
