/**
 * Retrieval: how well scores rank the relevant items of each query, as torchmetrics has it. As there, an item whose score
 * is not positive is never found (but for the hit rate). Equal scores keep the order they come in.
 */
import { argumentInvalid, SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { Metric } from './metric.js'

export interface RetrievalOptions {
  /** Only the `topK` best items are looked at; all where absent. */
  topK?: number | null | undefined
}

export interface RetrievalPrecisionOptions extends RetrievalOptions {
  /** A query with fewer than `topK` items is divided by what it has. */
  adaptiveK?: boolean
}

/** What a query without a relevant item counts as: 0, 1, nothing at all, or an error. */
export type EmptyTargetAction = 'neg' | 'pos' | 'skip' | 'error'

export interface RetrievalMetricOptions extends RetrievalPrecisionOptions {
  emptyTargetAction?: EmptyTargetAction
  /** Items with this target do not count. */
  ignoreIndex?: number | null | undefined
}

/**
 * Share of the topK best items that are relevant.
 *
 * @param preds scores [items] of one query
 * @param target whether each item is relevant, 0 or 1, [items]
 */
export function retrievalPrecision(
  preds: Tensor,
  target: Tensor,
  options: RetrievalPrecisionOptions = {},
): Promise<number> {
  return ofOneQuery(precision, preds, target, options)
}

/** Share of the relevant items that are among the topK best. */
export function retrievalRecall(preds: Tensor, target: Tensor, options: RetrievalOptions = {}): Promise<number> {
  return ofOneQuery(recall, preds, target, options)
}

/** Mean, over the relevant items found among the topK best, of the precision down to each. */
export function retrievalAveragePrecision(
  preds: Tensor,
  target: Tensor,
  options: RetrievalOptions = {},
): Promise<number> {
  return ofOneQuery(averagePrecision, preds, target, options)
}

/** 1 / the place of the first relevant item among the topK best. */
export function retrievalReciprocalRank(
  preds: Tensor,
  target: Tensor,
  options: RetrievalOptions = {},
): Promise<number> {
  return ofOneQuery(reciprocalRank, preds, target, options)
}

/** 1 if a relevant item is among the topK best, else 0. */
export function retrievalHitRate(preds: Tensor, target: Tensor, options: RetrievalOptions = {}): Promise<number> {
  return ofOneQuery(hitRate, preds, target, options)
}

/** The mean over queries; each batch says to which query its items belong. */
abstract class RetrievalMetric extends Metric<number> {
  readonly options: RetrievalMetricOptions
  protected abstract readonly quality: Quality

  constructor(options: RetrievalMetricOptions = {}) {
    super()
    checkTopK(options.topK)
    const actions = ['neg', 'pos', 'skip', 'error']
    if (!actions.includes(options.emptyTargetAction ?? 'neg')) {
      throw argumentInvalid('emptyTargetAction', actions.join(', '), options.emptyTargetAction)
    }
    this.options = options
  }

  /** Scores, relevances (0 or 1) and numbers of the queries, all of one shape. Items of one query may come in many batches. */
  update(preds: Tensor, target: Tensor, indexes: Tensor): void {
    if (preds.shape.join() !== target.shape.join() || preds.shape.join() !== indexes?.shape.join()) {
      const shapes = [preds, target, indexes].map((one) => `[${one?.shape.join(', ')}]`)
      throw new SptError(
        'ERR_SHAPE',
        `${this.constructor.name}: scores, targets and queries differ: ${shapes.join(', ')}`,
      )
    }
    this.append(() => ({
      scores: preds.detach().flatten().to('cpu').to('float64'),
      relevant: target.flatten().to('cpu').to('float64'),
      queries: indexes.flatten().to('cpu').to('int64'),
    }))
  }

  async compute(): Promise<number> {
    const { emptyTargetAction: action = 'neg', ignoreIndex } = this.options
    const scores = (await this.#read('scores')) as Float64Array
    const relevant = (await this.#read('relevant')) as Float64Array
    const queries = (await this.#read('queries')) as BigInt64Array
    const groups = new Map<bigint, Item[]>()
    for (const [row, query] of queries.entries()) {
      const item = { score: scores[row] ?? NaN, relevant: relevant[row] ?? NaN }
      if (item.relevant === ignoreIndex) continue
      const group = groups.get(query)
      if (group) group.push(item)
      else groups.set(query, [item])
    }
    const values: number[] = []
    for (const [query, items] of groups) {
      checkRelevances(this.constructor.name, items)
      if (items.some((item) => item.relevant > 0)) values.push(this.quality(items, this.options))
      else if (action === 'error') {
        throw new SptError('ERR_DATA', `${this.constructor.name}: query ${query} has no relevant item`)
      } else if (action !== 'skip') values.push(Number(action === 'pos'))
    }
    return values.length === 0 ? 0 : sum(values) / values.length
  }

  async #read(name: string): Promise<Float64Array | BigInt64Array> {
    const joined = this.joined(name)
    const values = (await joined.data()) as Float64Array | BigInt64Array
    joined.dispose()
    return values
  }
}

export class RetrievalPrecision extends RetrievalMetric {
  protected readonly quality = precision
}

export class RetrievalRecall extends RetrievalMetric {
  protected readonly quality = recall
}

/** Mean average precision. */
export class RetrievalMAP extends RetrievalMetric {
  protected readonly quality = averagePrecision
}

/** Mean reciprocal rank. */
export class RetrievalMRR extends RetrievalMetric {
  protected readonly quality = reciprocalRank
}

export class RetrievalHitRate extends RetrievalMetric {
  protected readonly quality = hitRate
}

interface Item {
  score: number
  relevant: number
}

/** Of one query with a relevant item. */
type Quality = (items: Item[], options: RetrievalPrecisionOptions) => number

async function ofOneQuery(
  quality: Quality,
  preds: Tensor,
  target: Tensor,
  options: RetrievalPrecisionOptions,
): Promise<number> {
  checkTopK(options.topK)
  if (preds.shape.join() !== target.shape.join() || preds.numel === 0) {
    const [a, b] = [preds, target].map(({ shape }) => `[${shape.join(', ')}]`)
    throw new SptError('ERR_SHAPE', `retrieval: expected scores and targets of one shape [items], got ${a} and ${b}`)
  }
  const scores = Array.from((await preds.data()) as Float64Array, Number)
  const relevant = Array.from((await target.data()) as Float64Array, Number)
  const items = scores.map((score, item) => ({ score, relevant: relevant[item] ?? NaN }))
  checkRelevances('retrieval', items)
  return items.some((item) => item.relevant > 0) ? quality(items, options) : 0
}

/** The best items first, as many as are looked at. NaN is above every number, as in a sorted tensor. */
function best(items: Item[], topK: number | null | undefined): Item[] {
  const rank = ({ score }: Item): number => (Number.isNaN(score) ? Infinity : score)
  return items.toSorted((a, b) => rank(b) - rank(a) || 0).slice(0, topK ?? items.length)
}

/** Whether each of the best items is relevant and has a positive score. */
function found(items: Item[], topK: number | null | undefined): number[] {
  return best(items, topK).map(({ score, relevant }) => (score > 0 ? relevant : 0))
}

function precision(items: Item[], { topK, adaptiveK = false }: RetrievalPrecisionOptions): number {
  const looked = topK ?? items.length
  return sum(found(items, topK)) / (adaptiveK ? Math.min(looked, items.length) : looked)
}

function recall(items: Item[], { topK }: RetrievalOptions): number {
  return sum(found(items, topK)) / sum(items.map(({ relevant }) => relevant))
}

function averagePrecision(items: Item[], { topK }: RetrievalOptions): number {
  const places = found(items, topK).flatMap((relevant, place) => (relevant > 0 ? [place + 1] : []))
  return places.length === 0 ? 0 : sum(places.map((place, index) => (index + 1) / place)) / places.length
}

function reciprocalRank(items: Item[], { topK }: RetrievalOptions): number {
  const first = found(items, topK).findIndex((relevant) => relevant > 0)
  return first < 0 ? 0 : 1 / (first + 1)
}

function hitRate(items: Item[], { topK }: RetrievalOptions): number {
  return Number(best(items, topK).some(({ relevant }) => relevant > 0))
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

function checkTopK(topK: number | null | undefined): void {
  if (topK === null || topK === undefined || (Number.isInteger(topK) && topK > 0)) return
  throw argumentInvalid('topK', 'a whole number above 0', topK)
}

function checkRelevances(name: string, items: Item[]): void {
  const wrong = items.find(({ relevant }) => relevant !== 0 && relevant !== 1)
  if (wrong) throw argumentInvalid(`${name}: targets`, '0 or 1', wrong.relevant)
}
