/**
 * Activations as layers under torch.nn's names: a tensor of any shape to one of the same shape (GLU halves an axis). Those
 * without a class of their own docstring call the tensor method of their name.
 */
import { shapeMismatch } from '../errors.js'
import { full, type Tensor, where } from '../tensor/index.js'
import { Module, parameter } from './module.js'

/** max(0, x). */
export class ReLU extends Module {
  forward(input: Tensor): Tensor {
    return input.relu()
  }
}

/** min(max(0, x), 6). */
export class ReLU6 extends Module {
  forward(input: Tensor): Tensor {
    return input.clamp(0, 6)
  }
}

/** x·Φ(x) with the normal distribution's Φ, or its approximation by tanh (Hendrycks & Gimpel 2016, arXiv:1606.08415). */
export class GELU extends Module {
  readonly approximate: 'none' | 'tanh'

  constructor({ approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {}) {
    super()
    this.approximate = approximate
  }

  forward(input: Tensor): Tensor {
    return input.gelu(this.approximate)
  }
}

/** x·σ(x), also called swish. */
export class SiLU extends Module {
  forward(input: Tensor): Tensor {
    return input.silu()
  }
}

/** x·tanh(ln(1 + eˣ)) (Misra 2019, arXiv:1908.08681). */
export class Mish extends Module {
  forward(input: Tensor): Tensor {
    return input.mul(input.softplus().tanh())
  }
}

/** σ(x) = 1 / (1 + e⁻ˣ). */
export class Sigmoid extends Module {
  forward(input: Tensor): Tensor {
    return input.sigmoid()
  }
}

/** ln σ(x). */
export class LogSigmoid extends Module {
  forward(input: Tensor): Tensor {
    return input.logSigmoid()
  }
}

export class Tanh extends Module {
  forward(input: Tensor): Tensor {
    return input.tanh()
  }
}

/** x cut at `minVal` and `maxVal`. */
export class Hardtanh extends Module {
  readonly minVal: number
  readonly maxVal: number

  constructor({ minVal = -1, maxVal = 1 } = {}) {
    super()
    this.minVal = minVal
    this.maxVal = maxVal
  }

  forward(input: Tensor): Tensor {
    return input.clamp(this.minVal, this.maxVal)
  }
}

/** min(max(0, x + 3), 6) / 6. */
export class Hardsigmoid extends Module {
  forward(input: Tensor): Tensor {
    return input
      .add(3)
      .clamp(0, 6)
      .mul(1 / 6)
  }
}

/** x times the hard sigmoid of x (Howard et al. 2019, arXiv:1905.02244). */
export class Hardswish extends Module {
  forward(input: Tensor): Tensor {
    return input.mul(input.add(3).clamp(0, 6)).mul(1 / 6)
  }
}

/** x above 0, `negativeSlope`·x below. */
export class LeakyReLU extends Module {
  readonly negativeSlope: number

  constructor({ negativeSlope = 0.01 } = {}) {
    super()
    this.negativeSlope = negativeSlope
  }

  forward(input: Tensor): Tensor {
    return input.leakyRelu(this.negativeSlope)
  }
}

/** A leaky ReLU whose slope is learned: one for all, or one for each channel (axis 1) (He et al. 2015, arXiv:1502.01852). */
export class PReLU extends Module {
  weight: Tensor

  constructor({ numParameters = 1, init = 0.25 } = {}) {
    super()
    this.weight = parameter(full([numParameters], init))
  }

  forward(input: Tensor): Tensor {
    const perChannel =
      input.ndim > 1 ? [1, this.weight.numel, ...input.shape.slice(2).map(() => 1)] : [this.weight.numel]
    return where(input.gt(0), input, input.mul(this.weight.reshape(perChannel)))
  }
}

/** x above 0, α(eˣ − 1) below. */
export class ELU extends Module {
  readonly alpha: number

  constructor({ alpha = 1 } = {}) {
    super()
    this.alpha = alpha
  }

  forward(input: Tensor): Tensor {
    return input.elu(this.alpha)
  }
}

/** An ELU whose constants keep mean 0 and variance 1 (Klambauer et al. 2017, arXiv:1706.02515). */
export class SELU extends Module {
  forward(input: Tensor): Tensor {
    return input.elu(1.6732632423543772).mul(1.0507009873554805)
  }
}

/** ln(1 + e^βx) / β, and x itself where βx is above `threshold`. */
export class Softplus extends Module {
  readonly beta: number
  readonly threshold: number

  constructor({ beta = 1, threshold = 20 } = {}) {
    super()
    this.beta = beta
    this.threshold = threshold
  }

  forward(input: Tensor): Tensor {
    return input.softplus(this.beta, this.threshold)
  }
}

/** x / (1 + |x|). */
export class Softsign extends Module {
  forward(input: Tensor): Tensor {
    return input.div(input.abs().add(1))
  }
}

/** e^x, divided by its sum along `dim`. */
export class Softmax extends Module {
  readonly dim: number

  constructor({ dim = -1 } = {}) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    return input.softmax(this.dim)
  }
}

/** The logarithm of the softmax along `dim`. */
export class LogSoftmax extends Module {
  readonly dim: number

  constructor({ dim = -1 } = {}) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    return input.logSoftmax(this.dim)
  }
}

/** The first half of axis `dim` times the sigmoid of the second (Dauphin et al. 2017, arXiv:1612.08083). */
export class GLU extends Module {
  readonly dim: number

  constructor({ dim = -1 } = {}) {
    super()
    this.dim = dim
  }

  forward(input: Tensor): Tensor {
    const axis = this.dim < 0 ? this.dim + input.ndim : this.dim
    const half = (input.shape[axis] ?? 0.5) / 2
    if (!Number.isInteger(half)) throw shapeMismatch('GLU', `axis ${this.dim} of an even size`, input.shape)
    return input.narrow(axis, 0, half).mul(input.narrow(axis, half, half).sigmoid())
  }
}

/** Rows of unit length: x / max(‖x‖, ε) over the last axis; torch.nn.functional.normalize(x, dim=-1) as a layer. */
export class L2Norm extends Module {
  forward(input: Tensor): Tensor {
    return input.normalize(2, -1)
  }
}
