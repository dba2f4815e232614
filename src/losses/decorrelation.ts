/** Losses on the covariance of embeddings: VICReg, Barlow Twins, TiCo. */
import { SptError } from '../errors.js'
import { Module } from '../nn/index.js'
import { cat, eye, noGrad, type Tensor, zeros } from '../tensor/index.js'
import { mseLoss } from './elementwise.js'
import { matrixSizes, pairSizes, sameShapes } from './shapes.js'
import { cosineSimilarity } from './similarity.js'

export interface VarianceCovarianceOptions {
  stdCoeff?: number
  covCoeff?: number
  epsilon?: number
}

/** The variance and the covariance term of VICReg for one view [N, dim], each times its coefficient. */
export function varianceCovariance(
  z: Tensor,
  { stdCoeff = 25, covCoeff = 1, epsilon = 1e-4 }: VarianceCovarianceOptions = {},
): { variance: Tensor; covariance: Tensor } {
  const [count, dim] = matrixSizes('VICReg', z, { atLeast: 2 })
  const centred = z.sub(z.mean(0, true))
  const std = centred
    .square()
    .sum(0)
    .div(count - 1)
    .add(epsilon)
    .sqrt() // [dim]
  const covariance = centred
    .t()
    .matmul(centred)
    .div(count - 1) // [dim, dim]
  return {
    variance: std
      .rsub(1)
      .relu()
      .mean()
      .mul(stdCoeff / 2),
    covariance: covariance
      .mul(offDiagonalMask(dim))
      .square()
      .sum()
      .mul(covCoeff / dim),
  }
}

/** The regularisation of VICReg without the invariance term, of [samples, dim] with two samples or more. */
export class VCRegLoss extends Module {
  readonly options: Required<VarianceCovarianceOptions>

  constructor({ stdCoeff = 25, covCoeff = 1, epsilon = 1e-4 }: VarianceCovarianceOptions = {}) {
    super()
    this.options = { stdCoeff, covCoeff, epsilon }
  }

  forward(z: Tensor): Tensor {
    const { variance, covariance } = varianceCovariance(z, this.options)
    return variance.add(covariance)
  }
}

export interface VICRegOptions extends VarianceCovarianceOptions {
  simCoeff?: number
}

/**
 * VICReg (Bardes et al. 2022, arXiv:2105.04906, eq. 6); the variance term is halved per view, its mean over two views.
 * Two of one shape [samples, dim], with two samples or more.
 */
export class VICRegLoss extends Module {
  readonly options: Required<VICRegOptions>

  constructor({ simCoeff = 25, stdCoeff = 25, covCoeff = 1, epsilon = 1e-4 }: VICRegOptions = {}) {
    super()
    this.options = { simCoeff, stdCoeff, covCoeff, epsilon }
  }

  forward(first: Tensor, second: Tensor): Tensor {
    const terms = this.terms(first, second)
    return Object.values(terms).reduce((sum, term) => sum.add(term))
  }

  /** The five terms, each times its coefficient. */
  terms(first: Tensor, second: Tensor): Record<string, Tensor> {
    pairSizes('VICRegLoss', first, second, { atLeast: 2 })
    const a = varianceCovariance(first, this.options)
    const b = varianceCovariance(second, this.options)
    return {
      invariance: mseLoss(first, second).mul(this.options.simCoeff),
      varianceFirst: a.variance,
      varianceSecond: b.variance,
      covarianceFirst: a.covariance,
      covarianceSecond: b.covariance,
    }
  }
}

/**
 * The local term of VICRegL (Bardes et al. 2022, arXiv:2210.01571, eq. 4): each patch of the first view against its
 * nearest patch by cosine in the same image of the second, all pairs together. Both are [batch, patches, dim].
 */
export function localVicReg(first: Tensor, second: Tensor, options: VICRegOptions = {}): Tensor {
  sameShapes('localVicReg', first, second)
  const [, , dim = 0] = first.shape
  const nearest = noGrad(() => {
    const cosines = first.detach().normalize(2, -1).matmul(second.detach().normalize(2, -1).transpose(1, 2))
    return cosines.argmax(2, true).expand(first.shape) // [batch, patches, dim]
  })
  return new VICRegLoss(options).forward(first.reshape([-1, dim]), second.gather(1, nearest).reshape([-1, dim]))
}

/** Barlow Twins (Zbontar et al. 2021, arXiv:2103.03230, eq. 1) of two views [N, dim], N at least 2. */
export class BarlowTwinsLoss extends Module {
  readonly lambd: number

  constructor({ lambd = 5e-3 } = {}) {
    super()
    this.lambd = lambd
  }

  forward(first: Tensor, second: Tensor): Tensor {
    const [count, dim] = pairSizes('BarlowTwinsLoss', first, second, { atLeast: 2 })
    const correlation = standardise(first, count).t().matmul(standardise(second, count)).div(count) // [dim, dim]
    const identity = eye(dim, dim, { dtype: correlation.dtype })
    const weights = identity.mul(1 - this.lambd).add(this.lambd) // 1 on the diagonal, λ elsewhere
    return correlation.sub(identity).square().mul(weights).sum()
  }
}

/**
 * TiCo (Zhu et al. 2022, arXiv:2206.10698, eq. 8); the running covariance is state and is checkpointed. `centered`, as in the
 * PyTorch library, takes it about the mean of the batch: then embeddings that are all equal have a loss of 0, and long training
 * may fall into that. Without, as in the paper, they have the largest penalty.
 */
export class TiCoLoss extends Module {
  readonly beta: number
  readonly rho: number
  readonly centered: boolean
  covariance: Tensor

  constructor(dim: number, { beta = 0.9, rho = 20, centered = true } = {}) {
    super()
    this.beta = beta
    this.rho = rho
    this.centered = centered
    this.covariance = this.registerBuffer('covariance', zeros([dim, dim]))
  }

  forward(first: Tensor, second: Tensor): Tensor {
    const [, dim] = pairSizes('TiCoLoss', first, second)
    if (dim !== this.covariance.shape[0]) {
      throw new SptError(
        'ERR_SHAPE',
        `TiCoLoss: made for ${this.covariance.shape[0]} dimensions, got [${first.shape.join(', ')}]`,
      )
    }
    const [a, b] = [first.normalize(), second.normalize()] // [N, dim]
    noGrad(() => {
      const both = cat([a.detach(), b.detach()], 0)
      const count = both.shape[0] ?? 2
      const seen = this.centered ? both.sub(both.mean(0, true)) : both
      const current = seen
        .t()
        .matmul(seen)
        .div(this.centered ? count - 1 : count)
      this.covariance.copy_(this.covariance.mul(this.beta).add(current.mul(1 - this.beta)))
    })
    const invariance = cosineSimilarity(a, b).mean().mul(-2).add(2)
    const spread = a.matmul(this.covariance.detach().to(a.dtype).clone()).mul(a).sum(1).mean()
    return invariance.add(spread.mul(this.rho))
  }
}

/** The elements of a square matrix off its diagonal, row by row: [n·(n − 1)]. */
export function offDiagonal(matrix: Tensor): Tensor {
  const [rows, columns] = matrixSizes('offDiagonal', matrix, { atLeast: 0 })
  if (rows !== columns) throw new SptError('ERR_SHAPE', `offDiagonal: [${rows}, ${columns}] is not square`)
  if (rows < 2) return matrix.reshape([-1]).narrow(0, 0, 0)
  // Without its last element the flat matrix is rows of n + 1 that begin on the diagonal.
  const flat = matrix
    .contiguous()
    .reshape([-1])
    .narrow(0, 0, rows * rows - 1)
  return flat
    .reshape([rows - 1, rows + 1])
    .narrow(1, 1, rows)
    .reshape([-1])
}

function offDiagonalMask(dim: number): Tensor {
  return eye(dim).rsub(1)
}

/** (z − mean) / (unbiased std + 1e-5) over the batch. */
function standardise(z: Tensor, count: number): Tensor {
  const centred = z.sub(z.mean(0, true))
  return centred.div(
    centred
      .square()
      .sum(0, true)
      .div(count - 1)
      .sqrt()
      .add(1e-5),
  )
}
