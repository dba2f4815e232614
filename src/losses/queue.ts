/** First-in-first-out queues of rows, and the losses that keep one: MoCo v2 and NNCLR. */
import { argumentInvalid, unsupported } from '../errors.js'
import { Module } from '../nn/index.js'
import { arange, cat, noGrad, scope, type Tensor } from '../tensor/index.js'
import { infoNce, NTXEntLoss } from './contrastive.js'
import { pairSizes, sameShapes } from './shapes.js'

/**
 * The last `maxLength` rows that were appended. `fifo` keeps the oldest first; `ring` writes over the oldest in place, so
 * that rows keep their position. The rows are buffers, checkpointed in two parts that meet where a ring writes next.
 */
export class RowQueue extends Module<never> {
  readonly maxLength: number
  readonly order: 'fifo' | 'ring'
  front: Tensor | null = null
  back: Tensor | null = null

  constructor(maxLength: number, { order = 'fifo' }: { order?: 'fifo' | 'ring' } = {}) {
    super()
    if (!(Number.isInteger(maxLength) && maxLength > 0)) {
      throw argumentInvalid('RowQueue: maxLength', 'a whole number above 0', maxLength)
    }
    this.maxLength = maxLength
    this.order = order
  }

  /** Appends rows [count, …] outside the graph; the oldest fall out. @returns the contents [rows, …], a copy. */
  append(batch: Tensor): Tensor {
    noGrad(() => scope(() => this.replace(...this.joined(batch.detach()))))
    return this.rows() as Tensor
  }

  /** A copy of the contents, null before the first append. */
  rows(): Tensor | null {
    const { front, back } = this
    return front && back ? cat([front, back], 0) : null
  }

  get length(): number {
    return (this.front?.shape[0] ?? 0) + (this.back?.shape[0] ?? 0)
  }

  /** The queue takes the saved lengths, which are not its own before it is full. */
  protected override makeRoom(state: ReadonlyMap<string, Tensor>): void {
    const [front, back] = [state.get('front'), state.get('back')]
    if (front && back) this.replace(front, back)
  }

  forward(): never {
    throw unsupported('RowQueue', 'it has no forward; call append')
  }

  /** What comes before and after the place where a ring writes next. */
  private joined(batch: Tensor): [front: Tensor, back: Tensor] {
    const { maxLength, order } = this
    const front = this.front ?? rowsOf(batch, 0, 0)
    const back = this.back ?? rowsOf(batch, 0, 0)
    const [added, before] = [count(batch), count(front)]
    if (added >= maxLength) return [rowsOf(batch, 0, 0), rowsOf(batch, added - maxLength, maxLength)]
    if (order === 'fifo') {
      const all = cat([front, back, batch], 0)
      return [rowsOf(batch, 0, 0), rowsOf(all, Math.max(0, count(all) - maxLength), Math.min(count(all), maxLength))]
    }
    const fitting = Math.min(added, maxLength - before)
    const written = cat([front, rowsOf(batch, 0, fitting)], 0)
    const covered = Math.min(fitting, count(back))
    if (count(written) < maxLength) return [written, rowsOf(back, covered, count(back) - covered)]
    // The end is reached: what does not fit goes to the start.
    const rest = added - fitting
    return [rowsOf(batch, fitting, rest), rowsOf(written, rest, maxLength - rest)]
  }

  private replace(front: Tensor, back: Tensor): void {
    const [oldFront, oldBack] = [this.front, this.back]
    this.front = this.registerBuffer('front', front.clone())
    this.back = this.registerBuffer('back', back.clone())
    oldFront?.dispose()
    oldBack?.dispose()
  }
}

function count(rows: Tensor): number {
  return rows.shape[0] ?? 0
}

function rowsOf(rows: Tensor, start: number, length: number): Tensor {
  return rows.narrow(0, start, length)
}

/**
 * MoCo v2 (Chen et al. 2020, arXiv:2003.04297): a query finds its key among the queue's. As upstream, the keys of this
 * batch enter the queue first, so that a sample's own key is among its negatives as well; with `ownKeyAsNegative: false`
 * they enter it afterwards, as in the paper, and the first batch has no negatives.
 */
export class MoCoLoss extends Module {
  readonly temperature: number
  readonly ownKeyAsNegative: boolean
  readonly queue: RowQueue

  constructor({ queueLength = 65536, temperature = 0.2, ownKeyAsNegative = true } = {}) {
    super()
    this.temperature = temperature
    this.ownKeyAsNegative = ownKeyAsNegative
    this.queue = new RowQueue(queueLength, { order: 'ring' })
  }

  /** Queries and keys [samples, dim]. */
  forward(query: Tensor, key: Tensor): Tensor {
    pairSizes('MoCoLoss', query, key)
    const [q, k] = [query.normalize(), key.detach().normalize()]
    const before = this.ownKeyAsNegative ? null : (this.queue.rows() ?? k.narrow(0, 0, 0))
    const after = this.queue.append(k)
    return againstQueue(q, k, before ?? after, this.temperature)
  }
}

/** Cross-entropy of unit rows [samples, dim] finding their key [samples, dim] among the queue's rows [rows, dim]. */
function againstQueue(query: Tensor, key: Tensor, negatives: Tensor, temperature: number): Tensor {
  const positive = query.mul(key).sum(1, true) // [samples, 1]
  const logits = cat([positive, query.matmul(negatives.t())], 1).div(temperature)
  return logits.crossEntropy(arange(query.shape[0] ?? 0).mul(0))
}

/**
 * PIRL (Misra & van der Maaten 2020, arXiv:1912.01991, eq. 5): λ · NCE of the transformed image's projections against the
 * image's, plus (1 − λ) · NCE of the image's against itself. As upstream, the image's projections enter the queue first.
 */
export class PIRLLoss extends Module {
  readonly temperature: number
  readonly lambda: number
  readonly queue: RowQueue

  constructor({ queueLength = 16384, temperature = 0.07, lambda = 0.5 } = {}) {
    super()
    this.temperature = temperature
    this.lambda = lambda
    this.queue = new RowQueue(queueLength, { order: 'ring' })
  }

  /** Projections of the transformed images and of the images, both [samples, dim]. */
  forward(transformed: Tensor, image: Tensor): Tensor {
    pairSizes('PIRLLoss', transformed, image)
    const [a, b] = [transformed.normalize(), image.normalize()]
    const negatives = this.queue.append(b)
    const first = againstQueue(a, b, negatives, this.temperature)
    const second = againstQueue(b, b, negatives, this.temperature)
    return first.mul(this.lambda).add(second.mul(1 - this.lambda))
  }
}

/** MoCo v3's InfoNCE (Chen et al. 2021, arXiv:2104.02057), without the paper's factor 2τ. Rows paired, [samples, dim]. */
export function mocoV3Loss(query: Tensor, key: Tensor, { temperature = 0.2 } = {}): Tensor {
  const [samples] = pairSizes('mocoV3Loss', query, key)
  return infoNce(query, key, arange(samples), { temperature })
}

/** Each query's nearest row of the support by cosine, detached: [samples, dim]. */
export function nearestNeighbour(query: Tensor, support: Tensor): Tensor {
  return noGrad(() => {
    const nearest = query.detach().normalize().matmul(support.detach().normalize().t()).argmax(1)
    return support.detach().indexSelect(0, nearest)
  })
}

/**
 * NNCLR's loss (Dwibedi et al. 2021, arXiv:2104.14548). As upstream, the first view enters the queue before the look-up,
 * so that its nearest neighbour is itself; with `ownViewAsNeighbour: false` it enters afterwards, as in the paper.
 */
export class NNCLRLoss extends Module {
  readonly ownViewAsNeighbour: boolean
  readonly queue: RowQueue
  readonly ntxent: NTXEntLoss

  constructor({ queueLength = 16384, temperature = 0.1, ownViewAsNeighbour = true } = {}) {
    super()
    this.ownViewAsNeighbour = ownViewAsNeighbour
    this.queue = new RowQueue(queueLength, { order: 'ring' })
    this.ntxent = new NTXEntLoss({ temperature })
  }

  /** Projections and predictions of both views, each [samples, dim]. */
  forward(
    firstProjection: Tensor,
    secondProjection: Tensor,
    firstPrediction: Tensor,
    secondPrediction: Tensor,
  ): Tensor {
    pairSizes('NNCLRLoss: projections', firstProjection, secondProjection)
    sameShapes('NNCLRLoss: predictions', firstPrediction, secondPrediction)
    sameShapes('NNCLRLoss: projections and predictions', firstProjection, firstPrediction)
    const before = this.ownViewAsNeighbour ? null : this.queue.rows()
    const after = this.queue.append(firstProjection)
    const support = this.ownViewAsNeighbour ? after : before
    // One row is everyone's neighbour; until there are more, each view is its own.
    const near = (projection: Tensor) =>
      support && (support.shape[0] ?? 0) > 1 ? nearestNeighbour(projection, support) : projection.detach()
    const [nearFirst, nearSecond] = [near(firstProjection), near(secondProjection)]
    const a = this.ntxent.forward(firstPrediction, nearSecond)
    const b = this.ntxent.forward(secondPrediction, nearFirst)
    return a.add(b).mul(0.5)
  }
}
