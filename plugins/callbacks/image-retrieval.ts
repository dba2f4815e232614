/**
 * Image retrieval over the validation images: how high the images that belong to a query rank by cosine similarity. By
 * default each image asks for the others of its class; data sets made for retrieval name queries and answers in columns.
 */
import { cat, defineCallback, noGrad, scope, SptError, valueOf, z } from 'stable-pretraining'
import { retrievalAveragePrecision, retrievalHitRate, tensor, type Tensor } from 'stable-pretraining'
import type { BatchEvent, Callback, Trainer } from 'stable-pretraining'

export interface ImageRetrievalOptions {
  name: string
  input?: string
  /** Key of the class numbers; not read where columns are given. */
  target?: string
  /** Key of the batch that is true (not 0) for queries; all others are searched. */
  queryCol?: string | undefined
  /** Key of the batch with, for each query, the indices in the data set of the images that belong to it. */
  retrievalCol?: string | undefined
  /** Logs the share of queries with an answer among the first k. */
  topK?: readonly number[]
}

interface Seen {
  readonly embedding: Tensor
  readonly index: readonly number[]
  readonly label?: readonly number[]
  readonly query?: readonly boolean[]
  readonly answers?: ReadonlyArray<readonly number[]>
}

export class ImageRetrieval implements Callback {
  readonly name: string
  readonly #options: ImageRetrievalOptions & Required<Pick<ImageRetrievalOptions, 'input' | 'target' | 'topK'>>
  #seen: Seen[] = []

  constructor(options: ImageRetrievalOptions) {
    if ((options.queryCol === undefined) !== (options.retrievalCol === undefined)) {
      throw new SptError('ERR_ARGUMENT', 'image-retrieval: query_col and retrieval_col belong together', {
        hint: 'Give both, or neither to search for images of the same class.',
      })
    }
    this.name = options.name
    this.#options = { input: 'embedding', target: 'label', topK: [1, 5, 10], ...options }
  }

  onValidationStart(): void {
    this.#forget()
  }

  async onValidationBatchEnd({ trainer, outputs, batch }: BatchEvent): Promise<void> {
    if (trainer.sanityChecking) return
    const { input, target, queryCol, retrievalCol } = this.#options
    const embedding = valueOf(input, outputs, batch, this.name).detach().normalize(2, 1).keep() // [batch, dim]
    const index = await numbers(batch.index)
    if (queryCol === undefined || retrievalCol === undefined) {
      this.#seen.push({ embedding, index, label: await numbers(valueOf(target, outputs, batch, this.name)) })
      return
    }
    const query = (await column(batch, queryCol, this.name)).map(Boolean)
    const answers = (await column(batch, retrievalCol, this.name)).map((one) => [one].flat().map(Number))
    this.#seen.push({ embedding, index, query, answers })
  }

  async onValidationEnd(trainer: Trainer): Promise<void> {
    if (this.#seen.length === 0) return
    const found = await scope(() => this.#measure())
    for (const [metric, value] of Object.entries(found)) trainer.log(`eval/${this.name}_${metric}`, value)
    this.#forget()
  }

  async #measure(): Promise<Record<string, number>> {
    const index = this.#seen.flatMap((part) => part.index)
    const label = this.#seen.flatMap((part) => part.label ?? [])
    const isQuery = this.#seen.flatMap((part) => part.query ?? [])
    const answers = this.#seen.flatMap((part) => part.answers ?? [])
    const byColumn = isQuery.length > 0
    const similarity = noGrad(() => {
      const all = cat(this.#seen.map(({ embedding }) => embedding)) // [images, dim]
      return all.matmul(all.t())
    })
    const values = (await similarity.data()) as Float32Array
    const sums = new Map<string, number>()
    let queries = 0
    for (const row of index.keys()) {
      if (byColumn && !isQuery[row]) continue
      const others = [...index.keys()].filter((other) => (byColumn ? !isQuery[other] : other !== row))
      const wanted = new Set(answers[row] ?? [])
      const relevant = others.map((other) => Number(byColumn ? wanted.has(index[other]!) : label[other] === label[row]))
      if (others.length === 0 || !relevant.includes(1)) continue
      // Scores above 0: to torchmetrics an item whose score is not positive is not found.
      const scores = others.map((other) => values[row * index.length + other]! + 2)
      const [preds, target] = [tensor(scores), tensor(relevant)]
      const add = (metric: string, value: number) => sums.set(metric, (sums.get(metric) ?? 0) + value)
      add('map', await retrievalAveragePrecision(preds, target))
      for (const topK of this.#options.topK) add(`r@${topK}`, await retrievalHitRate(preds, target, { topK }))
      for (const used of [preds, target]) used.dispose()
      queries++
    }
    return Object.fromEntries([...sums].map(([metric, sum]) => [metric, sum / queries]))
  }

  #forget(): void {
    for (const { embedding } of this.#seen) embedding.dispose()
    this.#seen = []
  }
}

const numbers = async (values: Tensor): Promise<number[]> => Array.from(await values.data(), Number)

/** A column of the batch, a value a sample: numbers, truth values, or lists of indices. */
async function column(batch: BatchEvent['batch'], key: string, asker: string): Promise<unknown[]> {
  const value = batch[key]
  if (Array.isArray(value)) return value
  return numbers(valueOf(key, {}, batch, asker))
}

export default defineCallback({
  name: 'image-retrieval',
  aliases: ['ImageRetrieval'],
  targets: ['stable_pretraining.callbacks.ImageRetrieval'],
  description:
    'How high images that belong together rank among the validation images: mean average precision, recall at k.',
  config: z.object({
    name: z.string().min(1).default('retrieval').describe('prefix of its metrics: eval/<name>_map, eval/<name>_r@1'),
    input: z.string().default('embedding').describe('key of the embedding, in the outputs or the batch'),
    target: z.string().default('label').describe('key of the class numbers; not read where columns are given'),
    queryCol: z.string().optional().describe('column that is true for queries'),
    retrievalCol: z.string().optional().describe('column with the indices of the images that belong to a query'),
    topK: z
      .array(z.int().positive())
      .default([1, 5, 10])
      .describe('logs the share of queries answered among the first k'),
  }),
  build: ({ config }) => new ImageRetrieval(config),
})
