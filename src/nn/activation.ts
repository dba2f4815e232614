/** Activations as layers; each calls the tensor method of its name. */
import type { Tensor } from '../tensor/index.js'
import { Module } from './module.js'

export class ReLU extends Module {
  forward(input: Tensor): Tensor {
    return input.relu()
  }
}

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

export class SiLU extends Module {
  forward(input: Tensor): Tensor {
    return input.silu()
  }
}

export class Sigmoid extends Module {
  forward(input: Tensor): Tensor {
    return input.sigmoid()
  }
}

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

export class Softplus extends Module {
  forward(input: Tensor): Tensor {
    return input.softplus()
  }
}

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

/** Rows of unit length: x / max(‖x‖, ε) over the last axis. */
export class L2Norm extends Module {
  forward(input: Tensor): Tensor {
    return input.normalize(2, -1)
  }
}
