/** Which embeddings lie nearest to each other, and the pictures they belong to. It writes no page. */
import { DataLoader, noGrad, pairwiseDistance, pictureOf, type BatchSource, type Tensor } from 'stable-pretraining'
import type { NeighbourRow, Picture } from './page.js'
import { dataUri } from './picture.js'

export interface Nearest {
  /** Share of all neighbours that have the class of their query. */
  share: number
  /** The nearest other rows of each row, nearest first. */
  others: number[][]
  labels: number[]
}

/** The `count` nearest other rows of each row of `embedding` [rows, dim] by cosine; `label` [rows]. */
export async function nearest(embedding: Tensor, label: Tensor, count: number): Promise<Nearest> {
  const found = Math.min(count, label.numel - 1)
  // One more, since each row is nearest to itself.
  const [, indices] = noGrad(() => pairwiseDistance(embedding, embedding, 'cosine').topk(found + 1, 1, false))
  const flat = Array.from((await indices.data()) as BigInt64Array, Number)
  const labels = Array.from((await label.data()) as BigInt64Array, Number)
  const others = labels.map((_, row) =>
    flat
      .slice(row * (found + 1), (row + 1) * (found + 1))
      .filter((other) => other !== row)
      .slice(0, found),
  )
  const same = others.flatMap((near, row) => near.map((other) => labels[other] === labels[row]))
  return { share: same.filter(Boolean).length / Math.max(same.length, 1), others, labels }
}

/** Rows of pictures, their queries spread over the classes. `places`: where each row's image is in the data set. */
export async function pictureRows(
  { others, labels }: Nearest,
  source: BatchSource | undefined,
  places: readonly number[],
  count: number,
): Promise<NeighbourRow[]> {
  if (!(source instanceof DataLoader)) return []
  const { dataset } = source
  const picture = async (row: number): Promise<Picture> => {
    const image = pictureOf((await dataset.get(places[row] as number)).image)
    const label = labels[row] as number
    return { uri: dataUri(image), label: dataset.classes?.[label] ?? `class ${label}` }
  }
  return Promise.all(
    spread(labels, count).map(async (row) => ({
      query: await picture(row),
      neighbours: await Promise.all(
        (others[row] as number[]).map(async (other) => ({
          ...(await picture(other)),
          same: labels[other] === labels[row],
        })),
      ),
    })),
  )
}

/** `count` rows of as many different classes as there are, in turn. */
function spread(labels: readonly number[], count: number): number[] {
  const classes = [...new Set(labels)].toSorted((a, b) => a - b)
  const queues = classes.map((one) => [...labels.keys()].filter((row) => labels[row] === one))
  const longest = Math.max(0, ...queues.map((rows) => rows.length))
  const inTurn = Array.from({ length: longest }, (_, i) => queues.flatMap((rows) => rows.slice(i, i + 1))).flat()
  return inTurn.slice(0, count)
}
