/**
 * What a plugin of each kind has to be: the interfaces the trainer, the loader and the app talk to.
 * It holds no behaviour and imports types only.
 */

/** Part of a run. */
export type Stage = 'fit' | 'validate' | 'test' | 'predict'

/** A scalar that may have to be read from the device first. */
export interface TensorLike {
  readonly shape: readonly number[]
  readonly dtype: string
  item(): Promise<number>
}

/** What a data loader yields: tensors by name, see `data`. */
export type Batch = Record<string, unknown>

/** What a forward returns: everything in it can be monitored; `loss` is what is minimised. */
export type Outputs = Record<string, unknown>

/** Plain data of a checkpoint: JSON, and tensors anywhere inside. */
export type State = { [key: string]: StateValue }
export type StateValue =
  | null
  | boolean
  | number
  | string
  | TensorLike
  | readonly StateValue[]
  | { [key: string]: StateValue }

/** A network: the module tree of `nn`. */
export interface Network {
  forward(...inputs: never[]): unknown
}

/** A backbone: images [batch, channel, height, width] to embeddings [batch, dim]. */
export interface Backbone<M = Network> {
  readonly module: M
  /** Width of the embedding. */
  readonly dim: number
}

/** A method in use: the networks it trains or keeps, and one step of it. */
export interface Method<M = Network> {
  /** Trained and checkpointed because they are named here. */
  readonly modules: Record<string, M>
  forward(batch: Batch, stage: Stage): Outputs | Promise<Outputs>
  /** Called after each optimizer step, for teachers and queues. */
  afterStep?(step: number): void | Promise<void>
}

/** Told to callbacks with every batch. */
export interface BatchEvent<T = unknown> {
  readonly trainer: T
  readonly outputs: Outputs
  readonly batch: Batch
  readonly batchIdx: number
}

/** Hooks of a run, Lightning's names; all optional, awaited in the order of the configuration. A closed list. */
export interface Callback<T = unknown, M = Network, O = Optimizer> {
  /** Names it in logs and checkpoints; unique in a run. */
  readonly name: string
  /** Registered as `callbacks_modules.<name>`, excluded from the main optimizer. */
  readonly modules?: Record<string, M>
  readonly optimizers?: Record<string, O>
  /** May add outputs and add to the loss, after the module's own forward. */
  forward?(event: {
    readonly outputs: Outputs
    readonly batch: Batch
    readonly stage: Stage
    readonly trainer: T
  }): void | Promise<void>
  setup?(trainer: T): void | Promise<void>
  onFitStart?(trainer: T): void | Promise<void>
  onTrainEpochStart?(trainer: T): void | Promise<void>
  onTrainBatchEnd?(event: BatchEvent<T>): void | Promise<void>
  onTrainEpochEnd?(trainer: T): void | Promise<void>
  onValidationStart?(trainer: T): void | Promise<void>
  onValidationBatchEnd?(event: BatchEvent<T>): void | Promise<void>
  onValidationEnd?(trainer: T): void | Promise<void>
  onSaveCheckpoint?(trainer: T, checkpoint: State): void | Promise<void>
  onLoadCheckpoint?(trainer: T, checkpoint: State): void | Promise<void>
  onException?(trainer: T, error: unknown): void | Promise<void>
  onFitEnd?(trainer: T): void | Promise<void>
  state?(): State | Promise<State>
  loadState?(state: State): void | Promise<void>
}

/** Where metrics go. */
export interface Logger {
  logMetrics(metrics: Record<string, number>, at: { step: number; epoch: number }): void | Promise<void>
  logHyperparameters?(hyperparameters: Record<string, unknown>): void | Promise<void>
  finalize?(status: 'success' | 'failed' | 'interrupted'): void | Promise<void>
  state?(): State | Promise<State>
  loadState?(state: State): void | Promise<void>
}

/** One parameter group: tensors and the options that differ from the optimizer's. */
export interface ParameterGroup {
  readonly params: readonly unknown[]
  readonly names?: readonly string[]
  [option: string]: unknown
}

export interface Optimizer {
  readonly groups: readonly { lr: number }[]
  step(): void
  zeroGrad(): void
  state(): State
  loadState(state: State): void
}

export interface Scheduler {
  step(): void
  state(): State
  loadState(state: State): void
}

export interface Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  get(index: number): unknown
}

/** What a run offers to its callbacks and loggers. A plugin never sees the container these come from. */
export interface Services {
  /** Absolute path of the run's own directory; it exists. */
  readonly runDirectory: string
  readonly seed: number
  /** One line to the person at the terminal, through the progress display. */
  log(line: string): void
  /** One instance per key and run: plugins that name the same key share it (queues of embeddings). */
  shared<T>(key: string, make: () => T): T
}
