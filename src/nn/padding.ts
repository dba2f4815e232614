/** Padding of the two last axes of [..., height, width] under torch.nn's names. */
import type { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** One number for all four sides, or [left, right, top, bottom]; negative numbers cut off. */
export type Padding2d = number | readonly [number, number, number, number]

abstract class Pad2d extends Module {
  readonly padding: readonly [number, number, number, number]
  protected abstract readonly mode: 'constant' | 'reflect' | 'replicate' | 'circular'
  readonly value: number = 0

  constructor(padding: Padding2d) {
    super()
    this.padding = typeof padding === 'number' ? [padding, padding, padding, padding] : padding
  }

  forward(input: Tensor): Tensor {
    return input.pad([...this.padding], this.mode, this.value)
  }
}

export class ConstantPad2d extends Pad2d {
  protected readonly mode = 'constant'
  override readonly value: number

  constructor(padding: Padding2d, value: number) {
    super(padding)
    this.value = value
  }
}

export class ZeroPad2d extends Pad2d {
  protected readonly mode = 'constant'
}

/** The inside mirrored at the outermost pixel, which is not repeated. */
export class ReflectionPad2d extends Pad2d {
  protected readonly mode = 'reflect'
}

/** The outermost pixel repeated. */
export class ReplicationPad2d extends Pad2d {
  protected readonly mode = 'replicate'
}

/** The other side of the image. */
export class CircularPad2d extends Pad2d {
  protected readonly mode = 'circular'
}
