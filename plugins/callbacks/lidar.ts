/**
 * LiDAR of the embeddings in a queue, once a validation (Thilak et al. 2024, arXiv:2312.04000): how many dimensions tell
 * groups of consecutive training rows apart. Needs no labels.
 */
import { defineCallback, lidar, scope, z, type Callback, type LidarOptions, type Trainer } from 'stable-pretraining'

export interface LiDARCallbackOptions extends LidarOptions {
  name: string
  /** Newest training rows that are kept; their oldest are measured. */
  queueLength: number
  target?: string
  /** Logs `<name>/entropy`, `<name>/top_eigenvalue` and `<name>/condition_number` too. */
  verbose?: boolean
}

export class LiDAR implements Callback {
  readonly name: string
  readonly #options: LiDARCallbackOptions & { target: string; samplesPerClass: number }

  constructor(options: LiDARCallbackOptions) {
    this.name = options.name
    this.#options = { target: 'embedding', samplesPerClass: 10, ...options }
  }

  setup(trainer: Trainer): void {
    trainer.queue(this.#options.target, this.#options.queueLength)
  }

  async onValidationEnd(trainer: Trainer): Promise<void> {
    const { target, queueLength, samplesPerClass, verbose = false } = this.#options
    const queue = trainer.queue(target, queueLength)
    if (trainer.sanityChecking || queue.length < 2 * samplesPerClass) return
    const found = await scope(() => lidar(queue.newest(queueLength), this.#options))
    trainer.log(this.name, found.lidar)
    if (!verbose) return
    trainer.log(`${this.name}/entropy`, found.entropy)
    trainer.log(`${this.name}/top_eigenvalue`, found.topEigenvalue)
    trainer.log(`${this.name}/condition_number`, found.conditionNumber)
  }
}

export default defineCallback({
  name: 'lidar',
  aliases: ['LiDAR'],
  targets: ['stable_pretraining.callbacks.LiDAR'],
  description: 'How many dimensions of the embedding tell groups of consecutive training rows apart.',
  paper: 'Thilak et al. 2024, arXiv:2312.04000',
  config: z.object({
    name: z.string().min(1).default('lidar').describe('name of its metric'),
    target: z.string().default('embedding').describe('key of the embedding, in the outputs or the batch'),
    queueLength: z.int().positive().default(1000).describe('newest training rows that are kept'),
    targetShape: z
      .union([z.int(), z.array(z.int())])
      .optional()
      .describe('accepted: the width is that of what comes'),
    nClasses: z.int().min(2).default(100).describe('most groups that are measured, the oldest first'),
    samplesPerClass: z.int().min(2).default(10).describe('consecutive rows of a group'),
    delta: z.number().positive().default(1e-4).describe('added to the diagonal of the scatter within groups'),
    epsilon: z.number().min(0).default(1e-8).describe('added to each eigenvalue'),
    verbose: z.boolean().default(false).describe('logs entropy, largest eigenvalue and condition number too'),
  }),
  build: ({ config }) => new LiDAR(config),
})
