/** The profile of a run's training steps: a callback that switches the core's counts on, and what it writes at the end. */
import { join } from 'node:path'
import { writeJson } from '../runs/run-directory.js'
import {
  type GpuWork,
  mergeProfiles,
  type ProfileEntry,
  profileReport,
  profileTable,
  setProfiling,
  takeProfile,
} from '../tensor/index.js'
import type { Callback } from './callback.js'
import { addGpuWork, GpuMeter } from './gpu-meter.js'
import type { Trainer } from './trainer.js'

interface Counted {
  steps: number
  seconds: number
  waitingSeconds: number
  entries: readonly ProfileEntry[]
  gpu?: GpuWork | undefined
}

/**
 * Counts the operations of training steps: without validation, and without the first step where there are several, since
 * that one allocates and compiles. On a GPU each step is waited for. It has to be the last callback, so that a step ends with it.
 */
export class StepProfile implements Callback {
  readonly name = 'step_profile'
  #first: Counted | undefined
  #rest: Counted = { steps: 0, seconds: 0, waitingSeconds: 0, entries: [] }
  #since = { clock: 0, waiting: 0 }
  #meter: GpuMeter | undefined

  onTrainEpochStart(trainer: Trainer): void {
    this.#begin(trainer)
  }

  onTrainBatchEnd({ trainer }: { trainer: Trainer }): void {
    const gpu = this.#meter?.take()
    const step: Counted = {
      steps: 1,
      gpu,
      seconds: (performance.now() - this.#since.clock) / 1000,
      waitingSeconds: trainer.waitingSeconds - this.#since.waiting,
      entries: takeProfile(),
    }
    const { steps, seconds, waitingSeconds, entries, gpu: before } = this.#rest
    if (this.#first === undefined) this.#first = step
    else
      this.#rest = {
        steps: steps + 1,
        seconds: seconds + step.seconds,
        waitingSeconds: waitingSeconds + step.waitingSeconds,
        entries: mergeProfiles([entries, step.entries]),
        gpu: before && gpu ? addGpuWork(before, gpu) : gpu,
      }
    this.#begin(trainer)
  }

  onValidationStart(): void {
    this.#stop()
  }

  /** Writes profile.json into the run's folder and returns the table; undefined where no step was done. */
  async write(folder: string): Promise<string | undefined> {
    this.#stop()
    const counted = this.#rest.steps === 0 ? this.#first : this.#rest
    if (counted === undefined) return undefined
    const report = profileReport(counted.entries, counted)
    await writeJson(join(folder, 'profile.json'), { version: 1, ...report })
    return profileTable(report)
  }

  /** What was counted since the last step (an epoch's end, a validation) belongs to no step. */
  #begin(trainer: Trainer): void {
    takeProfile()
    if (trainer.device !== 'cpu') this.#meter ??= new GpuMeter(trainer.device)
    this.#meter?.take()
    this.#since = { clock: performance.now(), waiting: trainer.waitingSeconds }
    setProfiling(true)
  }

  #stop(): void {
    setProfiling(false)
    this.#meter?.stop()
    this.#meter = undefined
  }
}
