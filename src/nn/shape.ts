/** Layers that only move values: Flatten, Unflatten and the pixel shuffles, under torch.nn's names. */
import { shapeMismatch } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** Joins the axes from `startDim` to `endDim` into one. */
export class Flatten extends Module {
  readonly startDim: number
  readonly endDim: number

  constructor({ startDim = 1, endDim = -1 } = {}) {
    super()
    this.startDim = startDim
    this.endDim = endDim
  }

  forward(input: Tensor): Tensor {
    return input.flatten(this.startDim, this.endDim)
  }
}

/** Splits one axis into several, whose sizes multiply to its own; one of them may be -1, what is left. */
export class Unflatten extends Module {
  readonly dim: number
  readonly sizes: number[]

  constructor(dim: number, sizes: number[]) {
    super()
    this.dim = dim
    this.sizes = sizes
  }

  forward(input: Tensor): Tensor {
    const axis = this.dim < 0 ? this.dim + input.ndim : this.dim
    const filled = this.sizes.reduce((product, size) => product * size, 1)
    if (filled >= 0 && filled !== input.shape[axis]) {
      throw shapeMismatch('Unflatten', `axis ${this.dim} to divide into [${this.sizes.join(', ')}]`, input.shape)
    }
    return input.reshape([...input.shape.slice(0, axis), ...this.sizes, ...input.shape.slice(axis + 1)])
  }
}

/** [..., channels·r², height, width] to [..., channels, height·r, width·r] (Shi et al. 2016, arXiv:1609.05158). */
export class PixelShuffle extends Module {
  readonly upscaleFactor: number

  constructor(upscaleFactor: number) {
    super()
    this.upscaleFactor = upscaleFactor
  }

  forward(input: Tensor): Tensor {
    const r = this.upscaleFactor
    const [channels, height, width] = imageAxes(
      'PixelShuffle',
      input,
      (c) => c % r ** 2 === 0,
      `${r ** 2}·c, height, width`,
    )
    const lead = input.shape.slice(0, -3)
    const axes = lead.map((_, index) => index)
    const at = (offset: number) => lead.length + offset
    return input
      .reshape([...lead, channels / r ** 2, r, r, height, width])
      .permute([...axes, at(0), at(3), at(1), at(4), at(2)])
      .reshape([...lead, channels / r ** 2, height * r, width * r])
  }
}

/** The inverse of PixelShuffle: [..., channels, height, width] to [..., channels·r², height / r, width / r]. */
export class PixelUnshuffle extends Module {
  readonly downscaleFactor: number

  constructor(downscaleFactor: number) {
    super()
    this.downscaleFactor = downscaleFactor
  }

  forward(input: Tensor): Tensor {
    const r = this.downscaleFactor
    const fits = (_: number, h: number, w: number) => h % r === 0 && w % r === 0
    const [channels, height, width] = imageAxes('PixelUnshuffle', input, fits, `channels, ${r}·h, ${r}·w`)
    const lead = input.shape.slice(0, -3)
    const axes = lead.map((_, index) => index)
    const at = (offset: number) => lead.length + offset
    return input
      .reshape([...lead, channels, height / r, r, width / r, r])
      .permute([...axes, at(0), at(2), at(4), at(1), at(3)])
      .reshape([...lead, channels * r ** 2, height / r, width / r])
  }
}

type Sizes = [channels: number, height: number, width: number]

function imageAxes(layer: string, input: Tensor, fits: (...sizes: Sizes) => boolean, expected: string): Sizes {
  const [channels, height, width] = input.shape.slice(-3)
  if (channels !== undefined && height !== undefined && width !== undefined && fits(channels, height, width)) {
    return [channels, height, width]
  }
  throw shapeMismatch(layer, `[..., ${expected}]`, input.shape)
}
