/** Pooling over the two last axes of [batch, channels, height, width], under torch.nn's names. */
import type { Tensor } from '../tensor/index.js'
import { pair, type Size2d } from './convolution.js'
import { Module } from './module.js'

/** The largest value of each window, whose stride is the kernel's size by default; what `ceilMode` adds hangs over the edge. */
export class MaxPool2d extends Module {
  readonly kernelSize: [number, number]
  readonly options: {
    stride: [number, number]
    padding: [number, number]
    dilation: [number, number]
    ceilMode: boolean
  }

  constructor(
    kernelSize: Size2d,
    options: { stride?: Size2d; padding?: Size2d; dilation?: Size2d; ceilMode?: boolean } = {},
  ) {
    super()
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options
    this.kernelSize = pair(kernelSize)
    this.options = { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), ceilMode }
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, dilation, ceilMode } = this.options
    return input.maxPool2d(this.kernelSize, stride, padding, dilation, ceilMode)
  }
}

/** The mean of each window; `countIncludePad` counts padding as zeros that belong to the window. */
export class AvgPool2d extends Module {
  readonly kernelSize: [number, number]
  readonly options: { stride: [number, number]; padding: [number, number]; ceilMode: boolean; countIncludePad: boolean }

  constructor(
    kernelSize: Size2d,
    options: { stride?: Size2d; padding?: Size2d; ceilMode?: boolean; countIncludePad?: boolean } = {},
  ) {
    super()
    const { stride = kernelSize, padding = 0, ceilMode = false, countIncludePad = true } = options
    this.kernelSize = pair(kernelSize)
    this.options = { stride: pair(stride), padding: pair(padding), ceilMode, countIncludePad }
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, ceilMode, countIncludePad } = this.options
    return input.avgPool2d(this.kernelSize, stride, padding, ceilMode, countIncludePad)
  }
}

/** Means of windows chosen so that the output is [batch, channels, ...outputSize]; window i covers ⌊i·in/out⌋ to ⌈(i+1)·in/out⌉. */
export class AdaptiveAvgPool2d extends Module {
  readonly outputSize: [number, number]

  constructor(outputSize: Size2d) {
    super()
    this.outputSize = pair(outputSize)
  }

  forward(input: Tensor): Tensor {
    return input.adaptiveAvgPool2d(this.outputSize)
  }
}

/** As AdaptiveAvgPool2d, with the largest value of each window. */
export class AdaptiveMaxPool2d extends Module {
  readonly outputSize: [number, number]

  constructor(outputSize: Size2d) {
    super()
    this.outputSize = pair(outputSize)
  }

  forward(input: Tensor): Tensor {
    return input.adaptiveMaxPool2d(this.outputSize)
  }
}
