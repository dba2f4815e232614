/** The head of DINO, iBOT, DINOv2 and MSN: a perceptron to a point on the sphere, then scores of prototypes. */
import type { Tensor } from '../tensor/index.js'
import { GELU, L2Norm } from './activation.js'
import { Sequential } from './containers.js'
import { truncNormal_, zeros_ } from './init.js'
import { Linear } from './linear.js'
import { weightNorm } from './weight-norm.js'

export interface DINOHeadOptions {
  hiddenDim?: number
  bottleneckDim?: number
  /** Outputs. */
  prototypes?: number
  /** Prototypes of length 1 for good; their parameters are then `weight_g`, which is not trained, and `weight_v`. */
  normLastLayer?: boolean
}

/**
 * [rows, inFeatures] to [rows, prototypes]: two hidden layers with GELU, a bottleneck of length 1, a linear layer without
 * bias (Caron et al. 2021, DINO, arXiv:2104.14294, section 3.1 and appendix C).
 */
export class DINOHead extends Sequential {
  readonly #last: Linear

  constructor(inFeatures: number, options: DINOHeadOptions = {}) {
    const { hiddenDim = 2048, bottleneckDim = 256, prototypes = 65536, normLastLayer = false } = options
    const widths = [inFeatures, hiddenDim, hiddenDim, bottleneckDim]
    const [first, second, third] = widths.slice(1).map((width, index) => new Linear(widths[index] ?? 0, width)) as [
      Linear,
      Linear,
      Linear,
    ]
    const last = new Linear(bottleneckDim, prototypes, { bias: false })
    for (const { weight, bias } of [first, second, third]) {
      truncNormal_(weight, { std: 0.02 })
      if (bias) zeros_(bias)
    }
    super(first, new GELU(), second, new GELU(), third, new L2Norm(), last)
    this.#last = last
    if (normLastLayer) {
      const { weightG } = weightNorm(last)
      weightG.fill_(1)
      weightG.requiresGrad = false
    }
  }

  /** With `freezeLast` no gradient reaches the prototypes, as in the first epochs of DINO. */
  override forward(input: Tensor, { freezeLast = false }: { freezeLast?: boolean } = {}): Tensor {
    const point = this.layers.slice(0, -1).reduce((value, layer) => layer.forward(value), input)
    return freezeLast ? point.linear(this.#last.weight.detach(), null) : this.#last.forward(point)
  }
}
