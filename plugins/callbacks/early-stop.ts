/** Ends training when a metric has not improved for a while. Saves nothing; the run's last checkpoint stays. */
import { defineCallback, SptError, z, type Callback, type Trainer } from 'stable-pretraining'

export interface EarlyStopOptions {
  monitor: string
  mode?: 'min' | 'max'
  /** How many validations in a row without improvement end the run, as in Lightning. */
  patience?: number
  /** What counts as improvement. */
  minDelta?: number
}

export class EarlyStop implements Callback {
  readonly name = 'early_stop'
  readonly #options: Required<EarlyStopOptions>
  #best: number | null = null
  #waited = 0

  constructor(options: EarlyStopOptions) {
    this.#options = { mode: 'min', patience: 3, minDelta: 0, ...options }
  }

  onTrainEpochEnd(trainer: Trainer): void {
    const { monitor, mode, patience, minDelta } = this.#options
    if (trainer.valBatches > 0 && !trainer.validated) return // a metric of an earlier validation is no news
    const value = trainer.latest.get(monitor)
    if (value === undefined) {
      throw new SptError('ERR_ARGUMENT', `early-stop: nothing is logged under "${monitor}"`, {
        hint: `Logged: ${[...trainer.latest.keys()].toSorted().join(', ')}.`,
      })
    }
    const gain = this.#best === null ? Infinity : (value - this.#best) * (mode === 'max' ? 1 : -1)
    this.#waited = gain > minDelta ? 0 : this.#waited + 1
    if (gain > minDelta) this.#best = value
    if (this.#waited < patience) return
    trainer.print(`early-stop: ${monitor} has not improved on ${this.#best} for ${this.#waited} epochs`)
    trainer.shouldStop = true
  }

  state() {
    return { best: this.#best, waited: this.#waited }
  }

  loadState(state: ReturnType<EarlyStop['state']>): void {
    this.#best = state.best
    this.#waited = state.waited
  }
}

export default defineCallback({
  name: 'early-stop',
  aliases: ['EarlyStopping'],
  targets: ['stable_pretraining.callbacks.EarlyStopping', 'lightning.pytorch.callbacks.EarlyStopping'],
  description: 'Ends training when a metric has not improved for some epochs.',
  config: z.object({
    monitor: z.string().min(1).describe('metric that is watched, such as eval/linear_probe_top1'),
    mode: z.enum(['min', 'max']).default('min').describe('whether less or more is better'),
    patience: z.int().min(1).default(3).describe('how many validations in a row without improvement end the run'),
    minDelta: z.number().min(0).default(0).describe('a smaller gain does not count'),
  }),
  build: ({ config }) => new EarlyStop(config),
})
