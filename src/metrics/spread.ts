/** How far embeddings lie apart in direction: near 0 where a method without labels has collapsed. */
import { SptError } from '../errors.js'
import { noGrad, scope, type Tensor } from '../tensor/index.js'

/**
 * Standard deviation of each dimension of the rows at unit length, averaged over dimensions, times √dim: 1 where directions
 * are spread evenly over the sphere, 0 where all rows point the same way (the measure of Chen & He 2021, arXiv:2011.10566,
 * figure 2). NaN where the embedding holds NaN or infinity.
 *
 * @param embedding [rows, dim], at least two rows
 * @throws ERR_SHAPE otherwise
 */
export function embeddingSpread(embedding: Tensor): Promise<number> {
  const [rows, dim] = embedding.shape
  if (embedding.ndim !== 2 || !rows || rows < 2 || !dim) {
    throw new SptError(
      'ERR_SHAPE',
      `embeddingSpread: expected [rows, dim] with two rows or more, got [${embedding.shape.join(', ')}]`,
    )
  }
  return scope(() =>
    noGrad(() => {
      const unit = embedding.detach().to('cpu').to('float64').normalize(2, 1)
      return unit.std(0).mean().mul(Math.sqrt(dim)).item()
    }),
  )
}
