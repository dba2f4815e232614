/** Weight normalisation: a layer's weight as a direction and a length (Salimans & Kingma 2016, arXiv:1602.07868). */
import { SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { type Module, parameter } from './module.js'

/**
 * Replaces `weight` by g·v/‖v‖, as torch.nn.utils.weight_norm does: the parameters become `weight_g`, [size of `dim`] with
 * ones elsewhere, and `weight_v`, of the shape of the weight. The norm is taken over all axes but `dim`. The layer computes
 * the same as before until its parameters change. `weightG.requiresGrad = false` after filling it with 1 is DINO's last layer.
 *
 * @throws ERR_ARGUMENT when the layer has no weight, or is normalised already.
 */
export function weightNorm<M extends Module<unknown> & { weight: Tensor | null }>(
  module: M,
  { dim = 0 } = {},
): M & { weightG: Tensor; weightV: Tensor } {
  const name = module.constructor.name
  if ('weightV' in module) throw new SptError('ERR_ARGUMENT', `this ${name} has weight normalisation already`)
  const { weight } = module
  const axis = dim < 0 ? dim + (weight?.ndim ?? 0) : dim
  if (weight === null || weight.shape[axis] === undefined) {
    const found = weight === null ? 'none' : `[${weight.shape.join(', ')}]`
    throw new SptError(
      'ERR_ARGUMENT',
      `weight normalisation along axis ${dim} needs a weight with it; ${name} has ${found}`,
    )
  }
  const others = weight.shape.map((_, index) => index).filter((index) => index !== axis)
  const length = (of: Tensor) => of.norm(2, others, true)
  const normalised = Object.assign(module, { weightG: parameter(length(weight.detach()).clone()), weightV: weight })
  // Computed anew at each use, so that its gradient reaches both parts; not enumerable, so that it is no parameter.
  Object.defineProperty(module, 'weight', {
    enumerable: false,
    configurable: true,
    get: () => normalised.weightV.mul(normalised.weightG.div(length(normalised.weightV))),
  })
  return normalised
}
