/**
 * Watches for collapse, the failure of learning without labels: all images get the same embedding, or embeddings that
 * differ in a few directions only. It changes nothing in the training.
 */
import { defineCallback, effectiveRank, embeddingSpread, scope, z } from 'stable-pretraining'
import type { BatchEvent, Callback, Trainer } from 'stable-pretraining'

export interface CollapseDetectorOptions {
  target?: string
  /** Newest training rows that are measured. */
  queueLength?: number
  everyNSteps?: number
  /** Spread below which embeddings count as one point; see {@link embeddingSpread}. */
  minSpread?: number
  /** Effective rank of the centred embeddings below which they count as lying in few directions. */
  minRank?: number
  /** Root mean square of the components about their mean below which embeddings count as shrunken. */
  minStd?: number
  /** Measurements in a row below a floor before it warns. */
  patience?: number
  /** Whether a collapse ends the run. */
  stop?: boolean
}

type Kind = 'complete' | 'dimensional' | 'shrunken'

const causes: Record<Kind, string> = {
  complete:
    'all images get nearly the same embedding. Likely: gradients reach the target branch (a missing stop-gradient or predictor), ' +
    'no negatives, variance term or centring, or a learning rate that is too high',
  dimensional:
    'embeddings differ in a few directions only. Likely: too little weight on decorrelation or negatives, a projector that is ' +
    'too narrow, a temperature that is too high, or a batch that is too small',
  shrunken:
    'embeddings differ in direction and hardly in length. Likely: no variance term and no normalisation, or a weight decay ' +
    'that is too strong',
}

export class CollapseDetector implements Callback {
  readonly name = 'collapse_detector'
  readonly #options: Required<CollapseDetectorOptions>
  #low: Record<Kind, number> = { complete: 0, dimensional: 0, shrunken: 0 }
  #warned: Kind[] = []
  #measured = 0

  constructor(options: CollapseDetectorOptions = {}) {
    const floors = { minSpread: 0.01, minRank: 2, minStd: 1e-3, patience: 2, stop: false }
    this.#options = { target: 'embedding', queueLength: 512, everyNSteps: 50, ...floors, ...options }
  }

  /** What it has warned of. */
  get found(): readonly Kind[] {
    return this.#warned
  }

  setup(trainer: Trainer): void {
    trainer.queue(this.#options.target, this.#options.queueLength)
  }

  async onTrainBatchEnd({ trainer }: BatchEvent): Promise<void> {
    const { target, queueLength, everyNSteps, minSpread, minRank, minStd } = this.#options
    // While gradients are accumulated the step stands still.
    if (trainer.globalStep % everyNSteps !== 0 || trainer.globalStep === this.#measured) return
    this.#measured = trainer.globalStep
    const queue = trainer.queue(target, queueLength)
    if (queue.length < 2) return
    const { spread, rank, std } = await scope(async () => {
      const rows = queue.newest(queueLength)
      const centred = rows.sub(rows.mean([0], true))
      const std = await centred.square().mean().sqrt().item()
      return { spread: await embeddingSpread(rows), rank: await effectiveRank(centred), std }
    })
    trainer.log('collapse/spread', spread, { onStep: true, onEpoch: false })
    trainer.log('collapse/rank', rank, { onStep: true, onEpoch: false })
    trainer.log('collapse/std', std, { onStep: true, onEpoch: false })
    // Of one point the rank says nothing: it is that of rounding errors.
    this.#judge(trainer, 'complete', spread < minSpread, `spread ${spread.toPrecision(2)}, under ${minSpread}`)
    const narrow = spread >= minSpread && rank < minRank
    this.#judge(trainer, 'dimensional', narrow, `effective rank ${rank.toFixed(1)}, under ${minRank}`)
    const small = spread >= minSpread && std < minStd
    this.#judge(trainer, 'shrunken', small, `deviation ${std.toPrecision(2)}, under ${minStd}`)
  }

  #judge(trainer: Trainer, kind: Kind, low: boolean, values: string): void {
    this.#low[kind] = low ? this.#low[kind] + 1 : 0
    if (this.#low[kind] < this.#options.patience || this.#warned.includes(kind)) return
    this.#warned.push(kind)
    trainer.print(`warning: collapse after step ${trainer.globalStep}: ${causes[kind]} (${values})`)
    if (this.#options.stop) trainer.shouldStop = true
  }

  state() {
    return { low: { ...this.#low }, warned: [...this.#warned] }
  }

  loadState({ low, warned }: ReturnType<CollapseDetector['state']>): void {
    this.#low = { ...this.#low, ...low }
    this.#warned = [...warned]
  }
}

export default defineCallback({
  name: 'collapse-detector',
  aliases: ['CollapseDetector'],
  description: 'Warns when embeddings become one point or use a few directions only, and names the likely cause.',
  paper: 'Chen & He 2021, arXiv:2011.10566; Jing et al. 2022, arXiv:2110.09348',
  config: z.object({
    target: z.string().default('embedding').describe('key of what is watched, in the outputs or the batch'),
    queueLength: z.int().min(2).default(512).describe('newest training rows that are measured'),
    everyNSteps: z.int().positive().default(50).describe('steps between two measurements'),
    minSpread: z.number().min(0).default(0.01).describe('floor of the spread; 1 is a ball, 0 one point'),
    minRank: z.number().min(0).default(2).describe('floor of the effective rank of the centred embeddings'),
    minStd: z
      .number()
      .min(0)
      .default(1e-3)
      .describe('floor of the standard deviation of the components, in the embedding’s own unit'),
    patience: z.int().positive().default(2).describe('measurements in a row under a floor before it warns'),
    stop: z.boolean().default(false).describe('whether a collapse ends the run'),
  }),
  build: ({ config }) => new CollapseDetector(config),
})
