/** LiDAR: the effective number of dimensions that tell surrogate classes apart (Thilak et al. 2024, arXiv:2312.04000). */
import { argumentInvalid, SptError } from '../errors.js'
import { eye, noGrad, scope, type Tensor } from '../tensor/index.js'

export interface LidarOptions {
  /** Most surrogate classes that are used. */
  nClasses?: number
  /** Consecutive rows that make one class, at least 2. */
  samplesPerClass?: number
  /** Added to the diagonal of the scatter within classes. */
  delta?: number
  /** Added to each eigenvalue. */
  epsilon?: number
}

export interface Lidar {
  /** exp of the entropy: from 1 to the number of dimensions. */
  lidar: number
  entropy: number
  topEigenvalue: number
  /** The largest eigenvalue over the smallest, both with epsilon. */
  conditionNumber: number
}

/**
 * exp of the entropy of λ / Σλ, where λ + ε are the eigenvalues of Σw^−½ Σb Σw^−½: Σb is the scatter of the class means
 * over n − 1, Σw that of rows around their class's mean over n(q − 1), plus δ on its diagonal. In float64; NaN where the
 * embedding holds NaN or infinity.
 *
 * @param embedding [rows, dim]; every `samplesPerClass` rows are a class, the rest of the rows is left out
 * @throws ERR_SHAPE unless it is a matrix, ERR_DATA with fewer rows than two classes have, ERR_ARGUMENT where rows of a
 *   class do not differ and delta is 0
 */
export async function lidar(embedding: Tensor, options: LidarOptions = {}): Promise<Lidar> {
  const { nClasses = 100, samplesPerClass: size = 10, delta = 1e-4, epsilon = 1e-8 } = options
  const [rows = 0, dim = 0] = embedding.shape
  if (embedding.ndim !== 2 || dim === 0) {
    throw new SptError('ERR_SHAPE', `lidar: expected [rows, dim], got [${embedding.shape.join(', ')}]`)
  }
  if (!(Number.isInteger(size) && size >= 2)) {
    throw argumentInvalid('lidar: samplesPerClass', 'a whole number of at least 2', size)
  }
  const classes = Math.min(nClasses, Math.floor(rows / size))
  if (!(classes >= 2)) {
    throw new SptError('ERR_DATA', `lidar: ${rows} rows are ${classes} classes of ${size} rows; there must be two`)
  }
  // A matrix that is not finite has no decomposition.
  const finite = Number.isFinite(await embedding.detach().to('cpu').to('float64').sum().item())
  if (!finite) return { lidar: NaN, entropy: NaN, topEigenvalue: NaN, conditionNumber: NaN }
  const values = await eigenvalues(embedding, classes, size, delta)
  const shares = values.map((value) => value + epsilon)
  const total = shares.reduce((a, b) => a + b, 0)
  const entropy = shares.reduce(
    (sum, share) => (share === 0 ? sum : sum - (share / total) * Math.log(share / total)),
    0,
  )
  return {
    lidar: Math.exp(entropy),
    entropy,
    topEigenvalue: values[0] ?? NaN,
    conditionNumber: (shares[0] ?? NaN) / (shares.at(-1) ?? NaN),
  }
}

/** Of Σw^−½ Σb Σw^−½, the largest first. */
function eigenvalues(embedding: Tensor, classes: number, size: number, delta: number): Promise<Float64Array> {
  return scope(async () => {
    const values = noGrad(() => {
      const dim = embedding.shape[1] ?? 0
      const rows = embedding
        .detach()
        .to('cpu')
        .to('float64')
        .narrow(0, 0, classes * size)
      const groups = rows.reshape([classes, size, dim])
      const means = groups.mean(1, true) // [classes, 1, dim]
      const around = groups.sub(means).reshape([classes * size, dim])
      const apart = means.sub(means.mean(0, true)).reshape([classes, dim])
      const identity = eye(dim, dim, { dtype: 'float64', device: 'cpu' })
      const within = around
        .t()
        .matmul(around)
        .div(classes * (size - 1))
        .add(identity.mul(delta))
      // With Σw = L Lᵀ and Σb = D Dᵀ they are the squared singular values of L⁻¹ D.
      const factor = within.cholesky().solveTriangular(apart.t().div(Math.sqrt(classes - 1)), { upper: false })
      return factor.matmul(factor.t()).svdvals()
    })
    return (await values.data()) as Float64Array
  })
}
