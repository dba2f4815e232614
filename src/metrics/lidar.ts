/** LiDAR: the effective number of dimensions that tell surrogate classes apart (Thilak et al. 2024, arXiv:2312.04000). */
import { argumentInvalid, SptError } from '../errors.js'
import { noGrad, scope, type Tensor } from '../tensor/index.js'
import { symmetricEigenvalues } from './rank-me.js'

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
 * over n − 1, Σw that of rows around their class's mean over n(q − 1), plus δ on its diagonal. In float64.
 *
 * @param embedding [rows, dim]; every `samplesPerClass` rows are a class, the rest of the rows is left out
 * @throws ERR_SHAPE unless it is a matrix, ERR_DATA with fewer rows than two classes have
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
  const { within, between } = await scatters(embedding, classes, size)
  for (let i = 0; i < dim; i += 1) within[i * (dim + 1)] = at(within, i * (dim + 1)) + delta
  // With Σw = L Lᵀ the eigenvalues are those of L⁻¹ Σb L⁻ᵀ: L⁻¹ from both sides, Σb being symmetric.
  const factor = cholesky(within, dim)
  const values = symmetricEigenvalues(solved(factor, transposed(solved(factor, between, dim), dim), dim), dim)
  const shares = values.map((value) => Math.max(value, 0) + epsilon)
  const total = shares.reduce((a, b) => a + b, 0)
  const entropy = shares.reduce(
    (sum, share) => (share === 0 ? sum : sum - (share / total) * Math.log(share / total)),
    0,
  )
  const [smallest, largest] = [at(shares, 0), at(shares, dim - 1)]
  return {
    lidar: Math.exp(entropy),
    entropy,
    topEigenvalue: Math.max(at(values, dim - 1), 0),
    conditionNumber: largest / smallest,
  }
}

/** Scatter within classes and between their means, both [dim, dim]. */
function scatters(
  embedding: Tensor,
  classes: number,
  size: number,
): Promise<{ within: Float64Array; between: Float64Array }> {
  return scope(async () => {
    const [within, between] = noGrad(() => {
      const dim = embedding.shape[1] ?? 0
      const groups = embedding
        .detach()
        .to('float64')
        .narrow(0, 0, classes * size)
        .reshape([classes, size, dim])
      const means = groups.mean(1, true) // [classes, 1, dim]
      const around = groups.sub(means).reshape([classes * size, dim])
      const apart = means.sub(means.mean(0, true)).reshape([classes, dim])
      return [
        around
          .t()
          .matmul(around)
          .div(classes * (size - 1)),
        apart
          .t()
          .matmul(apart)
          .div(classes - 1),
      ] as const
    })
    return { within: (await within.data()) as Float64Array, between: (await between.data()) as Float64Array }
  })
}

/** The lower L of L Lᵀ. @throws ERR_NONFINITE where the matrix holds NaN or infinity, or is not positive definite. */
function cholesky(matrix: Float64Array, n: number): Float64Array {
  const lower = new Float64Array(n * n)
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let rest = at(matrix, i * n + j)
      for (let k = 0; k < j; k += 1) rest -= at(lower, i * n + k) * at(lower, j * n + k)
      if (i === j && !(rest > 0 && Number.isFinite(rest))) {
        throw new SptError('ERR_NONFINITE', 'lidar: the scatter within classes is not positive definite', {
          hint: 'The embedding holds NaN or infinity, or delta is not above 0.',
        })
      }
      lower[i * n + j] = i === j ? Math.sqrt(rest) : rest / at(lower, j * n + j)
    }
  }
  return lower
}

/** X of L X = B. */
function solved(lower: Float64Array, right: Float64Array, n: number): Float64Array {
  const result = Float64Array.from(right)
  for (let i = 0; i < n; i += 1) {
    for (let k = 0; k < i; k += 1) {
      const weight = at(lower, i * n + k)
      for (let j = 0; j < n; j += 1) result[i * n + j] = at(result, i * n + j) - weight * at(result, k * n + j)
    }
    for (let j = 0; j < n; j += 1) result[i * n + j] = at(result, i * n + j) / at(lower, i * (n + 1))
  }
  return result
}

function transposed(matrix: Float64Array, n: number): Float64Array {
  return matrix.map((_, index) => at(matrix, (index % n) * n + Math.floor(index / n)))
}

const at = (values: Float64Array, index: number): number => values[index] as number
