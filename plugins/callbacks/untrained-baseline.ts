/**
 * Measures the backbone before it has learnt anything, by the same probes and neighbours as afterwards: what training is
 * worth is the difference. Runs once, before the first step; a resumed run has the numbers in its metrics. With
 * `alsoTrained` once more after the last step, so that both numbers are of one kind: features of images as they are, by the
 * network in evaluation mode, where probes and neighbours that run along have seen augmented images and older weights.
 */
import {
  DataLoader,
  defineCallback,
  embed,
  isFrozenEvaluator,
  z,
  type BatchSource,
  type Callback,
  type Trainer,
} from 'stable-pretraining'

export interface UntrainedBaselineOptions {
  /** Most training images that are embedded. */
  images?: number
  /** Optimizer steps of probes; no more than the run itself has. */
  probeSteps?: number
  /** Embeddings of each of those steps. */
  probeBatch?: number
  seed?: number
  /** Measure again at the end of the fit, logged as trained/…; false by default. */
  alsoTrained?: boolean
}

export class UntrainedBaseline implements Callback {
  readonly name = 'untrained_baseline'
  readonly #options: Required<UntrainedBaselineOptions>

  constructor(options: UntrainedBaselineOptions = {}) {
    this.#options = { images: 10_000, probeSteps: 1000, probeBatch: 256, seed: 0, alsoTrained: false, ...options }
  }

  async onFitStart(trainer: Trainer): Promise<void> {
    if (trainer.globalStep === 0) await this.#measure(trainer, 'untrained')
  }

  async onFitEnd(trainer: Trainer): Promise<void> {
    if (this.#options.alsoTrained) await this.#measure(trainer, 'trained')
  }

  async #measure(trainer: Trainer, state: 'untrained' | 'trained'): Promise<void> {
    const { train, val } = trainer.data
    if (train === undefined || val === undefined) return
    const evaluators = trainer.callbacks.filter(isFrozenEvaluator)
    if (evaluators.length === 0) return
    const features = await embed(trainer, unaugmented(train, val), { images: this.#options.images })
    const validation = await embed(trainer, unaugmented(val, val), { batches: trainer.valBatches })
    const options = {
      steps: Math.min(this.#options.probeSteps, trainer.totalSteps),
      batchSize: this.#options.probeBatch,
      seed: this.#options.seed,
    }
    const found: Record<string, number> = {}
    for (const evaluator of trainer.interrupted ? [] : evaluators) {
      const metrics = await evaluator.measureFrozen(features, validation, options)
      for (const [metric, value] of Object.entries(metrics)) found[`${evaluator.name}_${metric}`] = value
    }
    for (const tensor of [features, validation].flatMap(({ embedding, label }) => [embedding, label])) tensor.dispose()
    for (const [name, value] of Object.entries(found)) {
      trainer.log(`${state}/${name}`, value, { onStep: true, onEpoch: false })
    }
    await trainer.flush()
    if (trainer.interrupted) return
    const text = Object.entries(found).map(([name, value]) => `${name} ${(value * 100).toFixed(1)} %`)
    trainer.print(`${state} backbone: ${text.join(', ')}`)
  }
}

/** The images of `source` in order, prepared as for validation. Other sources than our loader are taken as they are. */
function unaugmented(source: BatchSource, validation: BatchSource): BatchSource {
  if (!(source instanceof DataLoader) || !(validation instanceof DataLoader)) return source
  const { batchSize, transform, batchTransform } = validation
  return new DataLoader({ dataset: source.dataset, batchSize, batchTransform, ...(transform && { transform }) })
}

export default defineCallback({
  name: 'untrained-baseline',
  description:
    'Accuracy of probes and neighbours on the backbone before training, on request after it too; logged as untrained/…',
  config: z.object({
    images: z.int().positive().default(10_000).describe('most training images that are embedded'),
    probeSteps: z
      .int()
      .positive()
      .default(1000)
      .describe('optimizer steps of each probe, at most as many as the run has'),
    probeBatch: z.int().positive().default(256).describe('embeddings of each of those steps'),
    seed: z.int().min(0).default(0).describe('decides the probes’ start and the rows they draw'),
    alsoTrained: z.boolean().default(false).describe('measure the same after training, logged as trained/…'),
  }),
  build: ({ config }) => new UntrainedBaseline(config),
})
