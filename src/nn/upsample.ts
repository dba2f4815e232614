/** Upsample: images and sequences made larger or smaller by interpolation. */
import type { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** Size (or size factor), mode and edges, as `Tensor.interpolate` takes them. */
export type UpsampleOptions = Parameters<Tensor['interpolate']>[0]

/** [batch, channels, spatial…] resized to `size`, or by `scaleFactor`; modes as torch.nn.Upsample, nearest by default. */
export class Upsample extends Module {
  readonly options: UpsampleOptions

  constructor(options: UpsampleOptions) {
    super()
    this.options = { ...options }
  }

  forward(input: Tensor): Tensor {
    return input.interpolate(this.options)
  }
}
