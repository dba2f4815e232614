/** Logs what the optimizers really use: learning rate, momentum and weight decay of each parameter group. */
import { defineCallback, z, type BatchEvent, type Callback, type Trainer } from 'stable-pretraining'

export interface LearningRateMonitorOptions {
  loggingInterval?: 'step' | 'epoch'
  logMomentum?: boolean
  logWeightDecay?: boolean
}

export class LearningRateMonitor implements Callback {
  readonly name = 'learning_rate_monitor'
  readonly #options: Required<LearningRateMonitorOptions>

  constructor(options: LearningRateMonitorOptions = {}) {
    this.#options = { loggingInterval: 'step', logMomentum: false, logWeightDecay: false, ...options }
  }

  onTrainBatchEnd({ trainer }: BatchEvent): void {
    if (this.#options.loggingInterval === 'step') this.#log(trainer, { onStep: true, onEpoch: false })
  }

  onTrainEpochEnd(trainer: Trainer): void {
    if (this.#options.loggingInterval === 'epoch') this.#log(trainer, {})
  }

  #log(trainer: Trainer, how: { onStep?: boolean; onEpoch?: boolean }): void {
    for (const { name, optimizer } of trainer.optimizers) {
      optimizer.groups.forEach((group, index) => {
        // One group needs no number, as in Lightning.
        const suffix = optimizer.groups.length > 1 ? `${name}/pg${index + 1}` : name
        trainer.log(`lr-${suffix}`, group.lr, how)
        const momentum = group['momentum'] ?? (group['betas'] as readonly number[] | undefined)?.[0]
        if (this.#options.logMomentum && typeof momentum === 'number')
          trainer.log(`lr-${suffix}-momentum`, momentum, how)
        const decay = group['weightDecay']
        if (this.#options.logWeightDecay && typeof decay === 'number')
          trainer.log(`lr-${suffix}-weight_decay`, decay, how)
      })
    }
  }
}

export default defineCallback({
  name: 'learning-rate-monitor',
  aliases: ['LearningRateMonitor'],
  targets: ['lightning.pytorch.callbacks.LearningRateMonitor'],
  description: 'Logs the learning rate of every parameter group of every optimizer, probes included.',
  config: z.object({
    loggingInterval: z.enum(['step', 'epoch']).default('step').describe('how often'),
    logMomentum: z.boolean().default(false).describe('also the momentum, of Adam its first beta'),
    logWeightDecay: z.boolean().default(false).describe('also the weight decay'),
  }),
  build: ({ config }) => new LearningRateMonitor(config),
})
