/** First-in-first-out queues of rows, and the losses that keep one: MoCo v2 and NNCLR. */
import { Module } from '../nn/index.js'
import { arange, cat, noGrad, type Tensor } from '../tensor/index.js'
import { infoNce, NTXEntLoss } from './contrastive.js'

/** The last `maxLength` rows that were appended, oldest first; a buffer, so it is checkpointed and moves with its owner. */
export class RowQueue extends Module<never> {
  readonly maxLength: number
  rows: Tensor | null = null

  constructor(maxLength: number) {
    super()
    this.maxLength = maxLength
  }

  /** Appends [rows, …] outside the graph; the oldest rows fall out. @returns the contents. */
  append(batch: Tensor): Tensor {
    const next = noGrad(() => {
      const all = this.rows ? cat([this.rows, batch.detach()], 0) : batch.detach()
      const count = all.shape[0] ?? 0
      const kept = Math.min(count, this.maxLength)
      return all.narrow(0, count - kept, kept).clone()
    })
    this.rows?.dispose()
    this.rows = this.registerBuffer('rows', next)
    return next
  }

  get length(): number {
    return this.rows?.shape[0] ?? 0
  }

  override loadStateDict(
    state: Map<string, Tensor> | Record<string, Tensor>,
    options: { strict?: boolean } = {},
  ): { missing: string[]; unexpected: string[] } {
    const given = state instanceof Map ? state : new Map(Object.entries(state))
    const rows = given.get('rows')
    // The queue takes the saved length, which a half-full queue does not share with its own shape.
    this.rows?.dispose()
    this.rows = rows ? this.registerBuffer('rows', rows.clone()) : null
    return super.loadStateDict(given, options)
  }

  forward(): never {
    throw new Error('a RowQueue has no forward')
  }
}

/**
 * MoCo v2 (Chen et al. 2020, arXiv:2003.04297): a query finds its key among the queue's. As upstream, the keys of this
 * batch enter the queue first, so that a sample's own key is among its negatives as well.
 */
export class MoCoLoss extends Module {
  readonly temperature: number
  readonly queue: RowQueue

  constructor({ queueLength = 65536, temperature = 0.2 } = {}) {
    super()
    this.temperature = temperature
    this.queue = new RowQueue(queueLength)
  }

  /** Queries and keys [samples, dim]. */
  forward(query: Tensor, key: Tensor): Tensor {
    const [q, k] = [query.normalize(), key.detach().normalize()]
    const negatives = this.queue.append(k) // [rows, dim]
    const positive = q.mul(k).sum(1, true) // [samples, 1]
    const logits = cat([positive, q.matmul(negatives.t())], 1).div(this.temperature)
    return logits.crossEntropy(arange(q.shape[0] ?? 0).mul(0))
  }
}

/** MoCo v3's InfoNCE (Chen et al. 2021, arXiv:2104.02057), without the paper's factor 2τ. Rows paired, [samples, dim]. */
export function mocoV3Loss(query: Tensor, key: Tensor, { temperature = 0.2 } = {}): Tensor {
  return infoNce(query, key, arange(query.shape[0] ?? 0), { temperature })
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
 * so that its nearest neighbour is itself.
 */
export class NNCLRLoss extends Module {
  readonly queue: RowQueue
  readonly ntxent: NTXEntLoss

  constructor({ queueLength = 16384, temperature = 0.1 } = {}) {
    super()
    this.queue = new RowQueue(queueLength)
    this.ntxent = new NTXEntLoss({ temperature })
  }

  /** Projections and predictions of both views, each [samples, dim]. */
  forward(
    firstProjection: Tensor,
    secondProjection: Tensor,
    firstPrediction: Tensor,
    secondPrediction: Tensor,
  ): Tensor {
    const support = this.queue.append(firstProjection)
    const many = this.queue.length > 1
    const nearFirst = many ? nearestNeighbour(firstProjection, support) : firstProjection.detach()
    const nearSecond = many ? nearestNeighbour(secondProjection, support) : secondProjection.detach()
    const a = this.ntxent.forward(firstPrediction, nearSecond)
    const b = this.ntxent.forward(secondPrediction, nearFirst)
    return a.add(b).mul(0.5)
  }
}
