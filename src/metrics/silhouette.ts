/** Silhouette: how much nearer rows are to their own cluster than to the next one (Rousseeuw 1987). */
import { SptError } from '../errors.js'
import { noGrad, scope, tensor, type Tensor } from '../tensor/index.js'
import { type Distance, pairwiseDistance } from './nearest-neighbours.js'

/** Rows whose distances to all others are held at a time. */
const block = 1024

/**
 * Mean over rows of (b − a) / max(a, b): a is the mean distance to the other rows of its own cluster, b that to the rows
 * of the nearest other cluster; a row alone in its cluster counts 0. In float64; equal to scikit-learn's.
 *
 * @param embedding [rows, dim]
 * @param labels whole numbers [rows], any values
 * @throws ERR_SHAPE when the shapes do not fit, ERR_DATA unless there are 2 to rows − 1 clusters
 */
export async function silhouetteScore(
  embedding: Tensor,
  labels: Tensor,
  { distance = 'euclidean' }: { distance?: Distance } = {},
): Promise<number> {
  const [rows = 0] = embedding.shape
  if (embedding.ndim !== 2 || labels.ndim !== 1 || labels.shape[0] !== rows) {
    throw new SptError(
      'ERR_SHAPE',
      `silhouetteScore: expected rows [rows, dim] and labels [rows], got [${embedding.shape.join(', ')}] and [${labels.shape.join(', ')}]`,
    )
  }
  const clusters = Array.from(await labels.data(), Number)
  const names = new Map([...new Set(clusters)].map((name, index) => [name, index]))
  if (names.size < 2 || names.size >= rows) {
    throw new SptError(
      'ERR_DATA',
      `silhouetteScore: ${rows} rows have ${names.size} labels; there must be 2 to ${rows - 1}`,
    )
  }
  const own = clusters.map((name) => names.get(name) ?? 0)
  const sizes = new Float64Array(names.size)
  for (const cluster of own) sizes[cluster] = (sizes[cluster] ?? 0) + 1
  let total = 0
  for (let start = 0; start < rows; start += block) {
    const sums = await summedDistances(embedding, own, names.size, start, distance)
    for (const [offset, cluster] of own.slice(start, start + block).entries()) {
      total += silhouette(sums.subarray(offset * names.size, (offset + 1) * names.size), sizes, cluster)
    }
  }
  return total / rows
}

/** Of the rows from `start` on, the sum of distances to each cluster: [block, clusters]. */
function summedDistances(
  embedding: Tensor,
  own: number[],
  clusters: number,
  start: number,
  distance: Distance,
): Promise<Float64Array> {
  return scope(async () => {
    const sums = noGrad(() => {
      const all = embedding.detach().to('cpu').to('float64')
      const members = tensor(BigInt64Array.from(own, BigInt), { device: 'cpu' }).oneHot(clusters).to('float64') // [rows, clusters]
      const some = all.narrow(0, start, Math.min(block, own.length - start))
      return pairwiseDistance(some, all, distance).matmul(members)
    })
    return (await sums.data()) as Float64Array
  })
}

/** One row's value from its summed distances to each cluster. Its distance to itself is 0. */
function silhouette(sums: Float64Array, sizes: Float64Array, cluster: number): number {
  const others = (sizes[cluster] ?? 0) - 1
  if (others === 0) return 0
  const inside = (sums[cluster] ?? 0) / others
  const outside = sums.reduce(
    (least, sum, index) => (index === cluster ? least : Math.min(least, sum / (sizes[index] ?? 1))),
    Infinity,
  )
  const larger = Math.max(inside, outside)
  return larger === 0 ? 0 : (outside - inside) / larger
}
