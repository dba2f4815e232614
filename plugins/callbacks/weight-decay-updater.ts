/** Moves the weight decay of the optimizers along a schedule over the run, as DINO does. The rate has schedules of its own. */
import { defineCallback, weightDecayAt, z } from 'stable-pretraining'
import type { BatchEvent, Callback, State, Trainer, WeightDecaySchedule } from 'stable-pretraining'

export interface WeightDecayUpdaterOptions {
  scheduleType?: WeightDecaySchedule
  startValue?: number
  endValue?: number
  /** Groups of each optimizer that follow; default those that decay at the start of the run. */
  paramGroupIndices?: number[] | undefined
  /** Number of the optimizer, from 0; default all. */
  optIdx?: number | undefined
}

export class WeightDecayUpdater implements Callback {
  readonly name = 'weight-decay-updater'
  readonly #options: WeightDecayUpdaterOptions & { schedule: WeightDecaySchedule; start: number; end: number }
  /** The groups that follow, by optimizer; part of the checkpoint, since a schedule may end at 0. */
  #groups: number[][] | undefined

  constructor(options: WeightDecayUpdaterOptions = {}) {
    const { scheduleType: schedule = 'cosine', startValue: start = 0.01, endValue: end = 0 } = options
    this.#options = { ...options, schedule, start, end }
    weightDecayAt(0, { schedule, start, end, totalSteps: 1 }) // an exponential one to 0 is refused here
  }

  onFitStart(trainer: Trainer): void {
    const { paramGroupIndices: chosen, optIdx } = this.#options
    this.#groups ??= trainer.optimizers.map(({ optimizer }, index) =>
      optIdx !== undefined && optIdx !== index
        ? []
        : optimizer.groups.flatMap((group, at) =>
            (chosen?.includes(at) ?? (group['weightDecay'] ?? 0) !== 0) ? [at] : [],
          ),
    )
    this.#apply(trainer)
  }

  /** For the next step. */
  onTrainBatchEnd({ trainer }: BatchEvent): void {
    this.#apply(trainer)
  }

  state(): State {
    return { groups: this.#groups ?? null }
  }

  loadState(state: State): void {
    this.#groups = (state['groups'] as number[][] | null) ?? undefined
  }

  #apply(trainer: Trainer): void {
    const { globalStep: step, totalSteps } = trainer
    const value = weightDecayAt(Math.min(step, totalSteps), { ...this.#options, totalSteps })
    trainer.optimizers.forEach(({ optimizer }, index) => {
      for (const at of this.#groups?.[index] ?? []) {
        const group = optimizer.groups[at]
        if (group !== undefined) group['weightDecay'] = value
      }
    })
    trainer.log('hparams/weight_decay', value, { onStep: true, onEpoch: false })
  }
}

export default defineCallback({
  name: 'weight-decay-updater',
  aliases: ['WeightDecayUpdater'],
  targets: ['stable_pretraining.callbacks.WeightDecayUpdater'],
  description:
    'Moves the weight decay along a schedule; groups without weight decay stay without unless they are named.',
  paper: 'Caron et al. 2021, arXiv:2104.14294',
  config: z.object({
    scheduleType: z.enum(['cosine', 'constant', 'linear', 'exponential']).default('cosine').describe('its shape'),
    startValue: z.number().min(0).default(0.01).describe('weight decay of the first step'),
    endValue: z.number().min(0).default(0).describe('weight decay after the last step'),
    paramGroupIndices: z.array(z.int().min(0)).optional().describe('groups that follow; default: those that decay'),
    optIdx: z.int().min(0).optional().describe('number of the optimizer, from 0; default: all'),
  }),
  build: ({ config }) => new WeightDecayUpdater(config),
})
