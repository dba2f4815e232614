/** Linear and Identity. */
import { empty, type Tensor } from '../tensor/index.js'
import { kaimingUniform_, uniform_ } from './init.js'
import { type Cost, Module, parameter } from './module.js'

/** torch.nn.Linear: y = x·Wᵀ + b for x [..., inFeatures]; the weight is [outFeatures, inFeatures]. */
export class Linear extends Module {
  readonly inFeatures: number
  readonly outFeatures: number
  weight: Tensor
  bias: Tensor | null

  constructor(inFeatures: number, outFeatures: number, { bias = true } = {}) {
    super()
    this.inFeatures = inFeatures
    this.outFeatures = outFeatures
    this.weight = parameter(empty([outFeatures, inFeatures]))
    this.bias = bias ? parameter(empty([outFeatures])) : null
    this.resetParameters()
  }

  /** PyTorch's start values: both uniform in ±1/√inFeatures. */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) })
    const bound = this.inFeatures > 0 ? 1 / Math.sqrt(this.inFeatures) : 0
    if (this.bias) uniform_(this.bias, -bound, bound)
  }

  forward(input: Tensor): Tensor {
    return input.linear(this.weight, this.bias)
  }

  override cost(_: readonly unknown[], output: Tensor): Cost {
    return { macs: output.numel * this.inFeatures }
  }
}

/** Returns its input, of any shape; torch.nn.Identity. */
export class Identity extends Module {
  forward(input: Tensor): Tensor {
    return input
  }
}
