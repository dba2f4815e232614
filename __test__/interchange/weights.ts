/** Gives a network weights that hide nothing: no zero bias, no running mean of 0, no layer scale of 1e-6. */
import { type nn, noGrad, rand, randn, type Tensor } from '../../src/index.js'

export function disturb<M extends nn.Module<unknown>>(module: M): M {
  noGrad(() => {
    for (const [name, parameter] of module.namedParameters()) {
      if (parameter.ndim === 1) parameter.copy_(around(parameter, name.endsWith('bias') ? 0 : 1))
    }
    for (const [name, buffer] of module.namedBuffers()) {
      if (name.endsWith('running_mean')) buffer.copy_(around(buffer, 0))
      if (name.endsWith('running_var')) buffer.copy_(rand(buffer.shape).add(0.5))
    }
  })
  return module
}

function around(tensor: Tensor, centre: number): Tensor {
  return randn(tensor.shape).mul(0.1).add(centre)
}
