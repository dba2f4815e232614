/** Online probe: a classifier trained on the detached embedding while the backbone trains; no gradient reaches that. */
import { buildMetrics, defineCallback, EpochMetrics, fitFrozen, LARS, namedReferences } from 'stable-pretraining'
import { nn, noGrad, parameterGroups, reference, SptError, valueOf, withOwnRandomness, z } from 'stable-pretraining'
import type { Batch, Callback, Features, FrozenEvaluator, FrozenOptions, MetricsOption } from 'stable-pretraining'
import type { MetricState, Optimizer, OptimizerEntry, Outputs } from 'stable-pretraining'
import type { ParamGroupInput, Stage, Tensor, Trainer } from 'stable-pretraining'

export interface OnlineProbeOptions {
  name: string
  /** Makes the classifier [batch, dim] → [batch, classes]; called again to measure a backbone that is not training. */
  probe: () => nn.Layer
  /** Key of the embedding, in the outputs or the batch. */
  input?: string
  /** Key of the class numbers. */
  target?: string
  optimizer?: (params: ParamGroupInput[]) => Optimizer | Promise<Optimizer>
  accumulateGradBatches?: number
  gradientClipVal?: number | undefined
  /** Of validation, or `{ train, val }`; top-1 and top-5 accuracy of both where absent. */
  metrics?: MetricsOption | undefined
}

/** stable-pretraining's default: no step is longer than plain SGD's, biases are not scaled. */
const larsOfProbes = (params: ParamGroupInput[]): Optimizer =>
  new LARS(params, { lr: 0.1, clipLr: true, eta: 0.02, excludeBiasNNorm: true, weightDecay: 0 })

export class OnlineProbe implements Callback, FrozenEvaluator {
  readonly name: string
  readonly modules: Record<string, nn.Layer>
  optimizers: Record<string, OptimizerEntry> = {}
  readonly #options: OnlineProbeOptions & Required<Pick<OnlineProbeOptions, 'input' | 'target' | 'optimizer'>>
  readonly #probe: nn.Layer
  readonly #metrics: EpochMetrics

  constructor(options: OnlineProbeOptions) {
    this.name = options.name
    this.#options = { input: 'embedding', target: 'label', optimizer: larsOfProbes, ...options }
    this.#probe = options.probe()
    this.modules = { [this.name]: this.#probe }
    this.#metrics = new EpochMetrics(options.name, options.metrics)
  }

  async setup(): Promise<void> {
    const { name } = this
    const { accumulateGradBatches: frequency = 1, gradientClipVal } = this.#options
    const optimizer = await this.#options.optimizer(parameterGroups(this.#probe, []))
    this.optimizers = { [name]: { name, optimizer, frequency, gradientClipVal } }
  }

  forward(event: { outputs: Outputs; batch: Batch; stage: Stage; trainer: Trainer }): void {
    const { outputs, batch, stage, trainer } = event
    const { name } = this
    const input = valueOf(this.#options.input, outputs, batch, name).detach() // [batch, dim], cut from the backbone
    const target = valueOf(this.#options.target, outputs, batch, name) // [batch]
    const logits = this.#probe.forward(input) // [batch, classes]
    outputs[`${name}_preds`] = logits
    const weight = target.numel
    if (stage === 'fit') {
      const loss = logits.crossEntropy(target)
      outputs['loss'] = outputs['loss'] === undefined ? loss : (outputs['loss'] as Tensor).add(loss)
      trainer.log(`train/${name}_loss`, loss, { onStep: true, weight, guard: true })
    }
    this.#metrics.update(trainer, stage, logits, target)
  }

  onValidationStart(): void {
    this.#metrics.reset('validate')
  }

  onValidationEnd(trainer: Trainer): Promise<void> {
    return this.#metrics.log(trainer, 'validate')
  }

  onTrainEpochEnd(trainer: Trainer): Promise<void> {
    return this.#metrics.log(trainer, 'fit')
  }

  state(): Record<string, MetricState> {
    return this.#metrics.state()
  }

  loadState(state: Record<string, MetricState>): void {
    this.#metrics.loadState(state)
  }

  /** Accuracy of a fresh probe, fitted by the same optimizer to embeddings that stay as they are. */
  async measureFrozen(train: Features, validation: Features, options: FrozenOptions): Promise<Record<string, number>> {
    return withOwnRandomness(options.seed, async () => {
      const probe = this.#options.probe()
      const optimizer = await this.#options.optimizer(parameterGroups(probe, []))
      fitFrozen(optimizer, train, options, (input, target) => probe.forward(input).crossEntropy(target))
      const logits = noGrad(() => probe.forward(validation.embedding))
      return this.#metrics.measure(logits, validation.label)
    })
  }
}

export default defineCallback({
  name: 'online-probe',
  aliases: ['OnlineProbe'],
  targets: ['stable_pretraining.callbacks.OnlineProbe'],
  description:
    'A linear, perceptron or attentive classifier on the detached embedding, trained alongside: what it already knows.',
  config: z.object({
    name: z
      .string()
      .min(1)
      .default('linear_probe')
      .describe('prefix of its metrics: train/<name>_loss, eval/<name>_top1'),
    input: z.string().default('embedding').describe('key of the embedding, in the outputs or the batch'),
    target: z.string().default('label').describe('key of the class numbers'),
    numClasses: z.int().positive().optional().describe('number of classes; found from the data set where it has names'),
    probe: z
      .enum(['linear', 'mlp', 'attentive'])
      .default('linear')
      .describe('one layer, two, or attention over tokens'),
    hidden: z.int().positive().optional().describe('hidden width of mlp; twice its input where absent'),
    numHeads: z.int().positive().default(4).describe('queries of attentive'),
    pooling: z
      .enum(['mean', 'cls'])
      .default('mean')
      .describe('what linear and mlp take of tokens; of maps it is the mean'),
    norm: z.enum(['layer', 'batch']).nullable().default(null).describe('a norm before linear'),
    inputDim: z.int().positive().optional().describe('width of the embedding; the backbone’s where absent'),
    optimizer: reference('optimizer')
      .prefault({ type: 'LARS', lr: 0.1, clip_lr: true, eta: 0.02, exclude_bias_n_norm: true })
      .describe('its own optimizer'),
    accumulateGradBatches: z.int().min(1).default(1).describe('batches whose gradients are averaged into one step'),
    gradientClipVal: z.number().positive().optional().describe('largest norm of its gradient'),
    metrics: namedReferences('metric', ['train', 'val'])
      .optional()
      .describe('metrics by name, of validation or under train and val; top-1 and top-5 accuracy where absent'),
  }),
  async build({ backbone, numClasses, config, build }) {
    const classes = config.numClasses ?? numClasses
    if (classes === undefined) {
      throw new SptError('ERR_CONFIG', 'online-probe: the data set does not say how many classes it has', {
        hint: 'Set num_classes of the probe; where the images have no labels, leave it out.',
      })
    }
    const metrics = config.metrics && (await buildMetrics(config.metrics, (use) => build(use, { numClasses: classes })))
    return new OnlineProbe({
      ...config,
      metrics,
      probe: () => nn.probe(config.probe, config.inputDim ?? backbone.dim, classes, config),
      optimizer: async (params) => (await build(config.optimizer, { params })) as Optimizer,
    })
  },
})
