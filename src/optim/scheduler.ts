/** The learning-rate scheduler: applies one schedule to every parameter group of an optimizer. It knows no formula. */
import { SptError } from '../errors.js'
import type { ParamGroup } from './optimizer.js'

/** The part of an optimizer that a scheduler needs. */
export interface ScheduledOptimizer {
  readonly groups: ParamGroup[]
}

/** What a schedule may look at: rates in effect now, the group's initial rate, and the step (0 = before training). */
export interface SchedulePoint {
  lr: number
  baseLr: number
  step: number
  group: number
}

/**
 * One schedule. `next` follows PyTorch's chainable form: from the rate in effect to the rate of `step`, so that schedules
 * multiply when chained. `closed` is the rate as a function of the step alone; schedulers use it when they are restarted.
 */
export interface Schedule {
  next(point: SchedulePoint): number
  closed?(point: SchedulePoint): number
  /** Changes group options other than the rate, such as momentum. */
  adjust?(group: ParamGroup, step: number, index: number): void
}

export interface SchedulerState {
  lastEpoch: number
  baseLrs: number[]
  lastLr: number[]
  [key: string]: unknown
}

/** Anything that moves the rates of an optimizer once a step. */
export interface Scheduler {
  /** Moves once an epoch by the newest value of a metric, instead of once a step. */
  readonly watchesMetric?: boolean
  step(metric?: number): void
  getLastLr(): number[]
  /** Sets the rates of the current step anew, after the length of the run was changed; absent or idle where that means nothing. */
  realign?(step?: number): void
  state(): Record<string, unknown>
  loadState(state: Record<string, unknown>): void
}

/**
 * Sets the rates of an optimizer step by step. Construction applies step 0 at once, as PyTorch does.
 *
 * @throws ERR_ARGUMENT when a group has no initial rate.
 */
export class LRScheduler implements Scheduler {
  readonly optimizer: ScheduledOptimizer
  readonly schedule: Schedule
  baseLrs: number[]
  /** The number of the current step; −1 before the first. */
  lastEpoch = -1
  protected lastLr: number[]

  constructor(optimizer: ScheduledOptimizer, schedule: Schedule) {
    this.optimizer = optimizer
    this.schedule = schedule
    for (const group of optimizer.groups) group.initialLr ??= group.lr
    this.baseLrs = optimizer.groups.map((group) => group.initialLr ?? group.lr)
    this.lastLr = [...this.baseLrs]
    this.step()
  }

  /** Moves to the next step, or restarts at `epoch` by the closed form where the schedule has one. */
  step(_metric?: number): void {
    this.advance(this.lastEpoch + 1, false)
  }

  restart(epoch: number): void {
    this.advance(epoch, true)
  }

  /** Sets the rates of `step` by the closed form; a schedule that has none goes on from the rates in effect. */
  realign(step: number = this.lastEpoch): void {
    if (this.schedule.closed) this.restart(step)
  }

  getLastLr(): number[] {
    return [...this.lastLr]
  }

  state(): SchedulerState {
    return { lastEpoch: this.lastEpoch, baseLrs: [...this.baseLrs], lastLr: [...this.lastLr] }
  }

  loadState(state: Record<string, unknown>): void {
    this.lastEpoch = readNumber(state, 'lastEpoch')
    this.baseLrs = readNumbers(state, 'baseLrs')
    this.lastLr = readNumbers(state, 'lastLr')
  }

  private advance(step: number, useClosedForm: boolean): void {
    this.lastEpoch = step
    const { schedule } = this
    this.lastLr = this.optimizer.groups.map((group, index) => {
      const point = { lr: group.lr, baseLr: this.baseLrs[index] ?? group.lr, step, group: index }
      group.lr = useClosedForm && schedule.closed ? schedule.closed(point) : schedule.next(point)
      schedule.adjust?.(group, step, index)
      return group.lr
    })
  }
}

/** Reads a number of a saved state. @throws ERR_CHECKPOINT when it is missing. */
export function readNumber(state: Record<string, unknown>, key: string): number {
  const value = state[key]
  // JSON has no infinity: a best value that was never set is stored as null.
  if (typeof value !== 'number') throw incompatible(key, value)
  return value
}

export function readNumbers(state: Record<string, unknown>, key: string): number[] {
  const value = state[key]
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'number')) throw incompatible(key, value)
  return value as number[]
}

function incompatible(key: string, value: unknown): SptError {
  return new SptError(
    'ERR_CHECKPOINT',
    `scheduler state has ${JSON.stringify(value)} under "${key}", expected numbers; it was saved by another scheduler`,
  )
}
