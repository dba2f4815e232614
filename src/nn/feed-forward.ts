/** The perceptrons inside transformer blocks, on each token alone. */
import type { Tensor } from '../tensor/index.js'
import { GELU } from './activation.js'
import { Dropout } from './dropout.js'
import { Linear } from './linear.js'
import { type Layer, Module } from './module.js'

export interface FeedForwardOptions {
  /** Width inside; the input's by default. */
  hiddenFeatures?: number
  /** The input's width by default. */
  outFeatures?: number
  bias?: boolean
  /** Probability of dropout after each layer. */
  drop?: number
}

/** Linear, activation (GELU), linear: [..., inFeatures] to [..., outFeatures]; timm's names. */
export class Mlp extends Module {
  fc1: Linear
  act: Layer
  drop1: Dropout
  fc2: Linear
  drop2: Dropout

  constructor(inFeatures: number, options: FeedForwardOptions & { activation?: () => Layer } = {}) {
    super()
    const { hiddenFeatures = inFeatures, outFeatures = inFeatures, bias = true, drop = 0 } = options
    this.fc1 = new Linear(inFeatures, hiddenFeatures, { bias })
    this.act = options.activation?.() ?? new GELU()
    this.drop1 = new Dropout(drop)
    this.fc2 = new Linear(hiddenFeatures, outFeatures, { bias })
    this.drop2 = new Dropout(drop)
  }

  forward(x: Tensor): Tensor {
    const hidden = this.drop1.forward(this.act.forward(this.fc1.forward(x)))
    return this.drop2.forward(this.fc2.forward(hidden))
  }
}

/**
 * w3(silu(w1·x) ∘ w2·x) (Shazeer 2020, arXiv:2002.05202). The width inside is ⌊2/3 · hiddenFeatures⌋, so that it has as
 * many parameters as an Mlp of `hiddenFeatures`.
 */
export class SwiGLU extends Module {
  w1: Linear
  w2: Linear
  w3: Linear
  drop: Dropout

  constructor(inFeatures: number, options: FeedForwardOptions = {}) {
    super()
    const { hiddenFeatures = inFeatures, outFeatures = inFeatures, bias = false, drop = 0 } = options
    const width = Math.floor((2 * hiddenFeatures) / 3)
    this.w1 = new Linear(inFeatures, width, { bias })
    this.w2 = new Linear(inFeatures, width, { bias })
    this.w3 = new Linear(width, outFeatures, { bias })
    this.drop = new Dropout(drop)
  }

  forward(x: Tensor): Tensor {
    return this.drop.forward(this.w3.forward(this.w1.forward(x).silu().mul(this.w2.forward(x))))
  }
}
