/**
 * The trainer: epochs, their validation and checkpoint, what is logged, and when to stop. The batches of an epoch are in
 * `loops`, what a checkpoint holds in `snapshot`, where a run lives on disk in `manager`.
 */
import type { DataModule } from '../data/index.js'
import { argumentInvalid } from '../errors.js'
import { GradScaler } from '../optim/index.js'
import { type DeviceName, getDefaultDevice, setDefaultDevice, type Tensor } from '../tensor/index.js'
import { type Callback, callHook, type Logger, type Stage } from './callback.js'
import { openDevice, tellDevice } from './device.js'
import { Logbook, type LogOptions } from './logbook.js'
import { trainBatches, validateBatches } from './loops.js'
import type { TrainingModule } from './module.js'
import { buildOptimizers, type OptimizerEntry, stepsOfRun } from './optimization.js'
import { OnlineQueue } from './queue.js'
import { mixedDtype, type MixedDtype } from './precision.js'
import { restore, save } from './snapshot.js'
import { stepMonitored } from './stepping.js'
import { moveTeachers } from './teacher-student.js'
import {
  limitBatches,
  noBatches,
  type ResolvedOptions,
  resolveOptions,
  type TrainerOptions,
} from './trainer-options.js'

export type FitStatus = 'completed' | 'stopped' | 'interrupted'

export class Trainer {
  readonly options: ResolvedOptions
  readonly callbacks: Callback[]
  readonly loggers: Logger[]
  /** Newest value of every logged name. */
  readonly latest = new Map<string, number>()
  /** Queues by key; see {@link queue}. */
  readonly queues = new Map<string, OnlineQueue>()
  /** What computes, by its full name; known when a run has begun. */
  device: DeviceName = 'cpu'
  module!: TrainingModule
  data!: DataModule
  optimizers: OptimizerEntry[] = []
  stage: Stage = 'fit'
  sanityChecking = false
  /** Whether this run goes on from a checkpoint. */
  resumed = false
  /** Whether the current epoch has been validated. */
  validated = false
  currentEpoch = 0
  /** Batches done of the current epoch. */
  batchIdx = 0
  /** Optimizer steps done. */
  globalStep = 0
  trainBatches = 0
  valBatches = 0
  totalSteps = 0
  /** Spent so far on waiting for training batches: what a faster loader could save. */
  waitingSeconds = 0
  /** In what forward passes compute products: what was asked for, if the device has it. */
  mixed: MixedDtype = null
  /** Scales the loss of `precision: 16-mixed`. */
  scaler: GradScaler | undefined
  /** Set by {@link interrupt}. */
  interrupted = false
  /** Set by a callback: training ends after this epoch. */
  shouldStop = false
  /** Where `last.ckpt` is written; absent: nowhere. */
  checkpointPath: string | undefined
  /** Absolute path of the run's folder; callbacks write there. */
  runDirectory: string | undefined
  readonly books = { fit: new Logbook(this.latest), validate: new Logbook(this.latest) }

  constructor(options: TrainerOptions = {}) {
    const { callbacks = [], logger = [] } = options
    this.options = resolveOptions(options)
    this.callbacks = callbacks
    this.loggers = logger === false ? [] : [logger].flat()
    const twice = callbacks.find(({ name }, i) => callbacks.findIndex((other) => other.name === name) !== i)
    if (twice)
      throw argumentInvalid('Trainer: callbacks', 'different names', twice.name, 'Give one of them another `name`.')
  }

  /** Trains `module` on `data`; from `ckptPath` on, exactly as the run that wrote it would have gone on. */
  async fit(module: TrainingModule, data: DataModule, { ckptPath }: { ckptPath?: string } = {}): Promise<FitStatus> {
    this.module = module
    this.data = data
    let status: FitStatus = 'completed'
    const outer = getDefaultDevice() as DeviceName
    try {
      await this.#prepare()
      if (ckptPath !== undefined) await this.#restore(ckptPath)
      for (const logger of this.loggers) await logger.logHyperparameters?.(module.hparams)
      if (!this.resumed && this.options.numSanityValSteps > 0) await this.#sanityCheck()
      await callHook(this.callbacks, 'onFitStart', this)
      if (this.interrupted) await this.saveLast()
      while (!this.#finished() && !this.interrupted) await this.#epoch()
      status = this.interrupted ? 'interrupted' : this.shouldStop ? 'stopped' : 'completed'
      if (status !== 'interrupted') await callHook(this.callbacks, 'onFitEnd', this)
    } catch (error) {
      await callHook(this.callbacks, 'onException', this, error)
      for (const logger of this.loggers) await logger.finalize?.('failed')
      throw error
    } finally {
      setDefaultDevice(outer)
    }
    for (const logger of this.loggers) await logger.finalize?.(status === 'interrupted' ? 'interrupted' : 'success')
    return status
  }

  /** One pass over the validation data; returns the metrics of that pass. */
  async validate(module: TrainingModule, data: DataModule): Promise<Record<string, number>> {
    this.module = module
    this.data = data
    const outer = getDefaultDevice() as DeviceName
    try {
      await this.#prepare()
      return (await this.#validate()) ?? {}
    } finally {
      setDefaultDevice(outer)
    }
  }

  /** Asks the run to save and end after the current step. */
  interrupt(): void {
    this.interrupted = true
  }

  /** Logs a number or a one-element tensor under `name`; a tensor is read later, together with others. */
  log(name: string, value: number | Tensor, options: LogOptions = {}): void {
    this.books[this.stage === 'fit' ? 'fit' : 'validate'].add(name, value, this.globalStep + 1, options)
  }

  /** The queue of `key`, at least `length` long: filled with `outputs[key]`, else `batch[key]`, of every training batch. */
  queue(key: string, length: number): OnlineQueue {
    const queue = this.queues.get(key) ?? new OnlineQueue(key, length)
    queue.grow(length)
    this.queues.set(key, queue)
    return queue
  }

  /** A line for the person at the terminal. */
  print(line: string): void {
    const shown = this.loggers.filter((logger) => logger.print !== undefined)
    for (const logger of shown) logger.print?.(line)
    if (shown.length === 0) console.error(line)
  }

  /** Reads what was logged and writes the step values now. */
  async flush(): Promise<void> {
    await this.books.fit.read()
    await this.#write(this.books.fit.takeStep())
  }

  async saveCheckpoint(path: string): Promise<void> {
    await this.books.fit.read() // a loss that is not finite must end the run before it is saved
    await save(this, path)
  }

  /** Saves to the run's own `last.ckpt`, where it has one. */
  async saveLast(): Promise<void> {
    if (this.checkpointPath !== undefined) await this.saveCheckpoint(this.checkpointPath)
  }

  async #prepare(): Promise<void> {
    const { train, val } = this.data
    const { options } = this
    this.trainBatches = limitBatches(train?.length ?? 0, options.limitTrainBatches)
    this.valBatches = limitBatches(val?.length ?? 0, options.limitValBatches)
    if (train !== undefined && this.trainBatches === 0 && options.limitTrainBatches !== 0)
      throw noBatches(train, options.limitTrainBatches)
    const length = { ...options, trainBatches: this.trainBatches }
    this.totalSteps = stepsOfRun(this.module.optim, length, options.accumulateGradBatches)
    moveTeachers(this)
    await callHook(this.callbacks, 'setup', this)
    for (const { modules = {} } of this.callbacks) {
      for (const [name, network] of Object.entries(modules)) this.module.callbacksModules.set(name, network)
    }
    // Networks are made on the CPU, whatever the device: the same seed means the same weights.
    this.device = openDevice(this.options.device)
    tellDevice(this.device, [train, val], (line) => this.print(line))
    this.module.to(this.device)
    setDefaultDevice(this.device)
    this.mixed = mixedDtype(this.options.precision, this.device, (line) => this.print(line))
    this.scaler = this.mixed === 'float16' ? new GradScaler() : undefined
    const main = await buildOptimizers(this.module, this.module.optim, length, (line) => this.print(line))
    this.optimizers = [...main, ...this.callbacks.flatMap(({ optimizers = {} }) => Object.values(optimizers))]
  }

  async #restore(ckptPath: string): Promise<void> {
    await restore(this, ckptPath)
    const { currentEpoch, batchIdx, globalStep, trainBatches } = this
    const within = batchIdx === 0 ? '' : ` and ${batchIdx} of ${trainBatches} batches`
    this.print(
      `${ckptPath}: ${currentEpoch} ${currentEpoch === 1 ? 'epoch' : 'epochs'}${within} done, step ${globalStep}`,
    )
    if (this.#finished()) this.print('nothing is left to train; a larger trainer.max_epochs or max_steps goes on')
  }

  #finished(): boolean {
    const { maxEpochs, maxSteps } = this.options
    return this.shouldStop || this.currentEpoch >= maxEpochs || this.globalStep >= maxSteps || this.trainBatches === 0
  }

  /** The rest of the current epoch, its validation and its checkpoint. Returns early, saved, when interrupted. */
  async #epoch(): Promise<void> {
    this.validated = false
    if (this.batchIdx === 0) await callHook(this.callbacks, 'onTrainEpochStart', this)
    if (this.batchIdx < this.trainBatches) await trainBatches(this)
    if (this.interrupted) return this.saveLast()
    await this.books.fit.read()
    const due = (this.currentEpoch + 1) % this.options.checkValEveryNEpoch === 0
    const last = this.currentEpoch + 1 >= this.options.maxEpochs || this.globalStep >= this.options.maxSteps
    if (this.valBatches > 0 && (due || last)) {
      this.validated = (await this.#validate()) !== undefined
      if (!this.validated) return this.saveLast()
    }
    const means = this.books.fit.takeEpoch()
    await callHook(this.callbacks, 'onTrainEpochEnd', this)
    await this.books.fit.read()
    await this.#write({ ...means, ...this.books.fit.takeEpoch() })
    if (this.batchIdx >= this.trainBatches) {
      stepMonitored(this.optimizers, this.latest)
      this.currentEpoch++
      this.batchIdx = 0
    }
    await this.saveLast()
  }

  /** The metrics of a whole validation, written; undefined when it was interrupted. */
  async #validate(): Promise<Record<string, number> | undefined> {
    const metrics = await validateBatches(this, this.valBatches)
    if (metrics) await this.#write(metrics)
    return metrics
  }

  /** Lets callbacks see the validation data before anything is learnt: a mistake there shows at once. */
  async #sanityCheck(): Promise<void> {
    this.sanityChecking = true
    await validateBatches(this, Math.min(this.valBatches, this.options.numSanityValSteps))
    this.sanityChecking = false
  }

  async #write(metrics: Record<string, number>): Promise<void> {
    if (Object.keys(metrics).length === 0) return
    // What is measured after the last epoch belongs to it.
    const at = { step: this.globalStep, epoch: Math.max(0, Math.min(this.currentEpoch, this.options.maxEpochs - 1)) }
    for (const logger of this.loggers) await logger.logMetrics(metrics, at)
  }
}
