/** RankMe: the effective number of dimensions that embeddings use (Garrido et al. 2023, arXiv:2210.02885). */
import { SptError } from '../errors.js'
import { noGrad, scope, type Tensor } from '../tensor/index.js'

/**
 * exp of the entropy of the singular values of `embedding` [rows, dim], not centred: p = σ / Σσ + 1e-5, exp(−Σ p ln p).
 * NaN where the embedding holds NaN or infinity.
 *
 * @throws ERR_SHAPE unless it is a matrix with something in it
 */
export async function rankMe(embedding: Tensor): Promise<number> {
  return Math.exp(entropy(await singularValues('rankMe', embedding), 1e-5))
}

/** As {@link rankMe} without the 1e-5: exp of the entropy of σ / Σσ (Roy & Vetterli 2007). */
export async function effectiveRank(embedding: Tensor): Promise<number> {
  return Math.exp(entropy(await singularValues('effectiveRank', embedding), 0))
}

function entropy(singular: Float64Array, added: number): number {
  const sum = singular.reduce((a, b) => a + b, 0)
  return singular.reduce((total, value) => {
    const p = value / sum + added
    return p === 0 ? total : total - p * Math.log(p)
  }, 0)
}

/**
 * The roots of the singular values of the smaller Gram matrix, so that the number of rows hardly matters. Values below 1e-8 of the largest are lost, which moves the result by less than 1e-5 a dimension.
 */
function singularValues(name: string, embedding: Tensor): Promise<Float64Array> {
  const [rows, dim] = embedding.shape
  if (embedding.ndim !== 2 || !rows || !dim) {
    throw new SptError('ERR_SHAPE', `${name}: expected [rows, dim], got [${embedding.shape.join(', ')}]`)
  }
  return scope(async () => {
    const values = noGrad(() => {
      const wide = embedding.detach().to('cpu').to('float64')
      const gram = rows < dim ? wide.matmul(wide.t()) : wide.t().matmul(wide)
      return gram.svdvals().sqrt()
    })
    return (await values.data()) as Float64Array
  })
}
