/** RankMe of the newest training embeddings, once a validation (Garrido et al. 2023, arXiv:2210.02885). Needs no labels. */
import { defineCallback, rankMe, scope, z, type Callback, type Tensor, type Trainer } from 'stable-pretraining'

export interface RankMeOptions {
  name: string
  /** Newest training rows that are measured. */
  queueLength: number
  target?: string
  /** What is measured of the rows [rows, dim]; {@link rankMe} by default. */
  measure?: (embedding: Tensor) => Promise<number>
}

export class RankMe implements Callback {
  readonly name: string
  readonly #target: string
  readonly #rows: number
  readonly #measure: (embedding: Tensor) => Promise<number>

  constructor({ name, queueLength, target = 'embedding', measure = rankMe }: RankMeOptions) {
    this.name = name
    this.#rows = queueLength
    this.#target = target
    this.#measure = measure
  }

  setup(trainer: Trainer): void {
    trainer.queue(this.#target, this.#rows)
  }

  async onValidationEnd(trainer: Trainer): Promise<void> {
    const queue = trainer.queue(this.#target, this.#rows)
    if (queue.length === 0 || trainer.sanityChecking) return
    trainer.log(this.name, await scope(() => this.#measure(queue.newest(this.#rows))))
  }
}

export default defineCallback({
  name: 'rank-me',
  aliases: ['RankMe'],
  targets: ['stable_pretraining.callbacks.RankMe'],
  description: 'How many dimensions the embedding really uses; a fall to a few means that training collapses.',
  paper: 'Garrido et al. 2023, arXiv:2210.02885',
  config: z.object({
    name: z.string().min(1).default('rankme').describe('name of its metric'),
    target: z.string().default('embedding').describe('key of the embedding, in the outputs or the batch'),
    queueLength: z.int().positive().default(2048).describe('newest training rows that are measured'),
    targetShape: z
      .union([z.int(), z.array(z.int())])
      .optional()
      .describe('accepted: the width is that of what comes'),
  }),
  build: ({ config: { name, target, queueLength } }) => new RankMe({ name, target, queueLength }),
})
