/** ReduceLROnPlateau: lowers the rate when a metric stops improving. It is stepped with the metric, not with a count. */
import { SptError } from '../errors.js'
import { readNumber, type ScheduledOptimizer, type Scheduler } from './scheduler.js'

export interface PlateauOptions {
  mode?: 'min' | 'max'
  factor?: number
  /** Bad epochs that are tolerated before the rate is lowered. */
  patience?: number
  threshold?: number
  thresholdMode?: 'rel' | 'abs'
  /** Epochs after a reduction in which bad epochs do not count. */
  cooldown?: number
  minLr?: number | number[]
  /** A change of the rate below this is not made. */
  eps?: number
}

/** @throws ERR_ARGUMENT when `factor` is 1 or more, or when `step` is called without a metric. */
export class ReduceLROnPlateau implements Scheduler {
  readonly optimizer: ScheduledOptimizer
  readonly watchesMetric = true
  private readonly options: Required<PlateauOptions>
  private best: number
  private badEpochs = 0
  private cooldownLeft = 0
  private lastEpoch = 0

  constructor(optimizer: ScheduledOptimizer, options: PlateauOptions = {}) {
    const defaults = { mode: 'min', factor: 0.1, patience: 10, threshold: 1e-4, thresholdMode: 'rel' } as const
    this.options = { ...defaults, cooldown: 0, minLr: 0, eps: 1e-8, ...options }
    if (this.options.factor >= 1) {
      throw new SptError('ERR_ARGUMENT', `factor is ${this.options.factor}, expected below 1`)
    }
    this.optimizer = optimizer
    this.best = this.worst()
    for (const group of optimizer.groups) group.initialLr ??= group.lr
  }

  step(metric?: number): void {
    if (metric === undefined) throw new SptError('ERR_ARGUMENT', 'ReduceLROnPlateau.step needs the metric, got none')
    this.lastEpoch += 1
    if (this.isBetter(metric)) {
      this.best = metric
      this.badEpochs = 0
    } else this.badEpochs += 1
    if (this.cooldownLeft > 0) {
      this.cooldownLeft -= 1
      this.badEpochs = 0
    }
    if (this.badEpochs > this.options.patience) {
      this.reduce()
      this.cooldownLeft = this.options.cooldown
      this.badEpochs = 0
    }
  }

  getLastLr(): number[] {
    return this.optimizer.groups.map((group) => group.lr)
  }

  state(): Record<string, unknown> {
    const { badEpochs, cooldownLeft, lastEpoch } = this
    return { best: Number.isFinite(this.best) ? this.best : null, badEpochs, cooldownLeft, lastEpoch }
  }

  loadState(state: Record<string, unknown>): void {
    this.best = state.best === null ? this.worst() : readNumber(state, 'best')
    this.badEpochs = readNumber(state, 'badEpochs')
    this.cooldownLeft = readNumber(state, 'cooldownLeft')
    this.lastEpoch = readNumber(state, 'lastEpoch')
  }

  private worst(): number {
    return this.options.mode === 'min' ? Infinity : -Infinity
  }

  private isBetter(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.options
    const sign = mode === 'min' ? -1 : 1
    const bound = thresholdMode === 'rel' ? this.best * (1 + sign * threshold) : this.best + sign * threshold
    return mode === 'min' ? metric < bound : metric > bound
  }

  private reduce(): void {
    const { factor, minLr, eps } = this.options
    this.optimizer.groups.forEach((group, index) => {
      const lowest = typeof minLr === 'number' ? minLr : (minLr[index] ?? 0)
      const lower = Math.max(group.lr * factor, lowest)
      if (group.lr - lower > eps) group.lr = lower
    })
  }
}
