/** The loss on whitened embeddings: W-MSE. */
import { SptError } from '../errors.js'
import { cat, type Tensor } from '../tensor/index.js'
import { mseLoss } from './elementwise.js'

export interface WhiteningOptions {
  /** The least variance along a principal axis; smaller ones count as this. Above 0. */
  eps?: number
}

/**
 * Rows of z [N, dim] without their mean and without correlation: zero-phase (ZCA) whitening by the eigenvectors V and
 * eigenvalues w of the unbiased covariance, (z − mean)·V·diag(max(w, eps)^−½)·Vᵀ. Directions with more than `eps`
 * variance get variance 1.
 *
 * @throws ERR_SHAPE unless z is a matrix of two rows or more.
 */
export function eigenWhiten(z: Tensor, { eps = 1e-3 }: WhiteningOptions = {}): Tensor {
  const [count = 0] = z.shape
  if (z.ndim !== 2 || count < 2) {
    throw new SptError(
      'ERR_SHAPE',
      `eigenWhiten: needs [N, dim] with two rows or more, got [${z.shape.join(', ')}]; one row has no covariance`,
    )
  }
  const centred = z.sub(z.mean(0, true))
  const covariance = centred
    .t()
    .matmul(centred)
    .div(count - 1) // [dim, dim]
  const [variances, axes] = covariance.eigh()
  const whitening = axes.mul(variances.clamp(eps).rsqrt()).matmul(axes.t()) // [dim, dim]
  return centred.matmul(whitening)
}

/**
 * W-MSE (Ermolov et al. 2021, arXiv:2007.06346): both views [N, dim] whitened together, brought to unit length, and the
 * mean of the squared differences of their elements.
 */
export function whitenedMse(first: Tensor, second: Tensor, options: WhiteningOptions = {}): Tensor {
  const [count = 0] = first.shape
  if (first.shape.join() !== second.shape.join()) {
    throw new SptError(
      'ERR_SHAPE',
      `whitenedMse: the views are [${first.shape.join(', ')}] and [${second.shape.join(', ')}], not of one shape`,
    )
  }
  const unit = eigenWhiten(cat([first, second]), options).normalize(2, 1)
  return mseLoss(unit.narrow(0, 0, count), unit.narrow(0, count, count))
}
