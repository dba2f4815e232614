/** Online k-nearest-neighbour accuracy: validation images classified by the newest training embeddings. Learns nothing. */
import { buildMetrics, defineCallback, EpochMetrics, namedReferences, nearestNeighbourScores } from 'stable-pretraining'
import { scope, SptError, valueOf, z, type BatchEvent, type Callback, type Distance } from 'stable-pretraining'
import type { Features, FrozenEvaluator, MetricsOption, Tensor, Trainer } from 'stable-pretraining'

export interface OnlineKNNOptions {
  name: string
  /** Newest training rows that are looked through. */
  queueLength: number
  numClasses: number
  input?: string
  target?: string
  k?: number
  temperature?: number
  distanceMetric?: Distance
  /** Of validation; top-1 and top-5 accuracy where absent. */
  metrics?: MetricsOption | undefined
}

export class OnlineKNN implements Callback, FrozenEvaluator {
  readonly name: string
  readonly #options: Required<Omit<OnlineKNNOptions, 'metrics'>>
  readonly #metrics: EpochMetrics
  #set: Features | undefined

  constructor({ metrics, ...options }: OnlineKNNOptions) {
    this.name = options.name
    this.#metrics = new EpochMetrics(options.name, metrics)
    this.#options = {
      input: 'embedding',
      target: 'label',
      k: 5,
      temperature: 0.07,
      distanceMetric: 'euclidean',
      ...options,
    }
  }

  setup(trainer: Trainer): void {
    trainer.queue(this.#options.input, this.#options.queueLength)
    trainer.queue(this.#options.target, this.#options.queueLength)
  }

  onValidationStart(trainer: Trainer): void {
    this.#metrics.reset('validate')
    const { input, target, queueLength } = this.#options
    const embedding = trainer.queue(input, queueLength)
    if (embedding.length === 0) return
    this.#set = {
      embedding: embedding.newest(queueLength).keep(),
      label: trainer.queue(target, queueLength).newest(queueLength).keep(),
    }
  }

  onValidationBatchEnd({ trainer, outputs, batch }: BatchEvent): void {
    if (this.#set === undefined) return
    const queries = valueOf(this.#options.input, outputs, batch, this.name)
    const target = valueOf(this.#options.target, outputs, batch, this.name)
    const scores = this.#scores(queries, this.#set)
    outputs[`${this.name}_preds`] = scores
    this.#metrics.update(trainer, 'validate', scores, target)
  }

  async onValidationEnd(trainer: Trainer): Promise<void> {
    await this.#metrics.log(trainer, 'validate')
    this.#set?.embedding.dispose()
    this.#set?.label.dispose()
    this.#set = undefined
  }

  async measureFrozen(train: Features, validation: Features): Promise<Record<string, number>> {
    const { queueLength } = this.#options
    return scope(async () => {
      const rows = Math.min(queueLength, train.label.numel)
      const set = { embedding: train.embedding.narrow(0, 0, rows), label: train.label.narrow(0, 0, rows) }
      return this.#metrics.measure(this.#scores(validation.embedding, set), validation.label)
    })
  }

  #scores(queries: Tensor, { embedding, label }: Features): Tensor {
    const { numClasses, k, temperature, distanceMetric: distance } = this.#options
    return nearestNeighbourScores(queries, embedding, label, numClasses, { k, temperature, distance })
  }
}

export default defineCallback({
  name: 'online-knn',
  aliases: ['OnlineKNN'],
  targets: ['stable_pretraining.callbacks.OnlineKNN'],
  description: 'Accuracy of k nearest neighbours among the newest training embeddings; nothing is learnt for it.',
  config: z.object({
    name: z.string().min(1).default('knn').describe('prefix of its metric: eval/<name>_top1'),
    input: z.string().default('embedding').describe('key of the embedding, in the outputs or the batch'),
    target: z.string().default('label').describe('key of the class numbers'),
    queueLength: z.int().positive().default(10_000).describe('newest training rows that are looked through'),
    numClasses: z.int().positive().optional().describe('number of classes; found from the data set where it has names'),
    k: z.int().positive().default(5).describe('neighbours that vote'),
    temperature: z
      .number()
      .positive()
      .default(0.07)
      .describe('softens the vote, which is 1 / (distance + temperature)'),
    distanceMetric: z
      .enum(['euclidean', 'squared_euclidean', 'cosine', 'manhattan'])
      .default('euclidean')
      .describe('how far apart two embeddings are'),
    inputDim: z
      .union([z.int(), z.array(z.int())])
      .optional()
      .describe('accepted: the width is that of what comes'),
    targetDim: z
      .union([z.int(), z.array(z.int())])
      .optional()
      .describe('accepted: the width is that of what comes'),
    chunkSize: z.int().optional().describe('accepted, without effect'),
    verbose: z.boolean().optional().describe('accepted, without effect'),
    metrics: namedReferences('metric', ['train', 'val'])
      .optional()
      .describe('metrics of validation by name; top-1 and top-5 accuracy where absent'),
  }),
  async build({ numClasses: known, config, build }) {
    const numClasses = config.numClasses ?? known
    if (numClasses === undefined) {
      throw new SptError('ERR_CONFIG', 'online-knn: the data set does not say how many classes it has', {
        hint: 'Set num_classes of the callback; where the images have no labels, leave it out.',
      })
    }
    const metrics = config.metrics && (await buildMetrics(config.metrics, (use) => build(use, { numClasses })))
    const { name, input, target, queueLength, k, temperature, distanceMetric } = config
    return new OnlineKNN({ name, input, target, queueLength, k, temperature, distanceMetric, numClasses, metrics })
  },
})
