/** Whether embeddings have collapsed: to one point, or to few directions. */
import { SptError } from '../errors.js'
import { noGrad, scope, type Tensor } from '../tensor/index.js'
import { effectiveRank } from './rank-me.js'

export interface Spread {
  /**
   * Root of the mean squared distance of the embeddings' directions to their mean: 0 when all point one way, 1 when they
   * point everywhere. It is the deviation that Chen & He 2021 (arXiv:2011.10566, figure 2) watch, times √dim.
   */
  readonly deviation: number
  /** Standard deviation of the components: the root of their mean variance, in the embeddings' own unit. */
  readonly std: number
  /** Effective number of dimensions of the embeddings about their mean, 1 to min(rows − 1, dim); 0 for one point. */
  readonly rank: number
}

export interface CollapseFloors {
  /** The least deviation; default 0.05. */
  readonly deviation?: number
  /** The least rank; default 2. */
  readonly rank?: number
  /** The least std, as a share of the one at the start; default 0.1. */
  readonly std?: number
}

/**
 * How far embeddings [rows, dim] are spread. NaN where they hold NaN or infinity.
 *
 * @throws ERR_SHAPE for fewer than two rows, which have no spread.
 */
export async function spreadOf(embedding: Tensor): Promise<Spread> {
  const [rows = 0, dim = 0] = embedding.shape
  if (embedding.ndim !== 2 || rows < 2 || dim === 0) {
    throw new SptError(
      'ERR_SHAPE',
      `spreadOf: expected [rows, dim] with two rows or more, got [${embedding.shape.join(', ')}]`,
    )
  }
  return scope(async () => {
    const { deviation, std, centred, size } = noGrad(() => {
      const wide = embedding.detach().to('float64')
      const unit = wide.normalize(2, 1)
      const centred = wide.sub(wide.mean(0, true))
      const variance = unit.sub(unit.mean(0, true)).square().sum(1).mean()
      return { deviation: variance.sqrt(), std: centred.square().mean().sqrt(), centred, size: centred.abs().amax() }
    })
    // Rows that are equal but for rounding have no directions to count.
    const point = (await size.item()) <= 1e-12 * (await embedding.detach().abs().amax().item())
    return {
      deviation: await deviation.item(),
      std: await std.item(),
      rank: point ? 0 : await effectiveRank(centred),
    }
  })
}

/**
 * What is wrong with a spread: `point` when all embeddings agree or have shrunk to little of what they were at the start
 * (where that is given), `directions` when they use too few dimensions, null for nothing.
 */
export function collapseOf(
  { deviation, rank, std }: Spread,
  floors: CollapseFloors = {},
  start?: Spread,
): 'point' | 'directions' | null {
  if (deviation < (floors.deviation ?? 0.05)) return 'point'
  if (start !== undefined && std < (floors.std ?? 0.1) * start.std) return 'point'
  return rank < (floors.rank ?? 2) ? 'directions' : null
}
