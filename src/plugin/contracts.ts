/**
 * What a plugin of each kind has to be: the interfaces the trainer, the loader and the app talk to.
 * It holds no behaviour and imports types only; the families of methods are a list so that they can be checked.
 */
import type { Batch } from '../data/index.js'
import type { Module } from '../nn/index.js'
import type { Tensor } from '../tensor/index.js'

/** Part of a run. */
export type Stage = 'fit' | 'validate' | 'test' | 'predict'

export type { Batch }

/** What a forward returns: everything in it can be monitored; `loss` is what is minimised. */
export type Outputs = Record<string, unknown>

/** What something keeps in a checkpoint: JSON values, any number, bigint, and tensors, nested at will. */
export type State = { readonly [key: string]: StateValue }
export type StateValue =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Tensor
  | readonly StateValue[]
  | { readonly [key: string]: StateValue }

/** Layers and networks: the module tree of `nn`. */
export type Network = Module<unknown>

/** A network that makes embeddings. */
export interface Backbone {
  /** Images [batch, channel, height, width] to embeddings [batch, dim]. */
  readonly module: Module
  /** Width of the embedding. */
  readonly dim: number
}

/** The ideas that methods belong to. */
export const methodFamilies = [
  'contrastive',
  'self-distillation',
  'decorrelation',
  'clustering',
  'masked image modelling',
  'supervised',
  'other',
] as const

export type MethodFamily = (typeof methodFamilies)[number]

/** What has to be there for a method to work. */
export interface MethodNeeds {
  /** Views of each image in training: so many, or crops of a large and of a small part of it. */
  readonly views: number | 'multi-crop'
  /** What the backbone gives besides an embedding: nothing more, a vector for each patch, tokens that can be left out. */
  readonly backbone: 'any' | 'patches' | 'vision transformer'
  /** Whether it learns from labels. */
  readonly labels?: boolean
}

/** What a method's definition says of it, for lists and for messages. */
export interface MethodTraits {
  readonly family: MethodFamily
  readonly needs: MethodNeeds
  /** The transform that makes its views as its paper does, as it is named in a configuration. */
  readonly recipe?: string
  /** Its forward without state, which finds its networks and losses on `this`: what modules composed by hand name. */
  readonly forward?: (this: never, batch: Batch, stage: Stage, progress: BatchProgress) => Outputs | Promise<Outputs>
  /** What shows that it learns: its loss falls (the default), or a probe rises, as where targets move or a queue fills. */
  readonly evidence?: 'loss' | 'probe'
}

/** A method in use: the networks it trains or keeps, and one step of it. */
export interface Method {
  /** Trained and checkpointed because they are named here. */
  readonly modules: Record<string, Network>
  /** What it draws at random, and what follows a schedule, is a function of the seed and of `progress`. */
  forward(batch: Batch, stage: Stage, progress: BatchProgress): Outputs | Promise<Outputs>
  /** Called after each optimizer step, for teachers and queues. */
  afterStep?(step: number, progress: StepProgress): void | Promise<void>
}

/** Where a run stands after an optimizer step. */
export interface StepProgress {
  /** From 0. */
  readonly epoch: number
  readonly maxEpochs: number
  /** Steps of the whole run. */
  readonly totalSteps: number
}

/** Where a run stands when a batch comes in; a run that is gone on with comes by the same places. */
export interface BatchProgress extends StepProgress {
  /** Optimizer steps done. */
  readonly step: number
  /** Training batches done in the whole run: another number for each. */
  readonly batch: number
}

/** Told to callbacks with every batch. */
export interface BatchEvent<T = unknown> {
  readonly trainer: T
  readonly outputs: Outputs
  readonly batch: Batch
  readonly batchIdx: number
}

/** Hooks of a run, Lightning's names; all optional, awaited in the order of the configuration. A closed list. */
export interface Callback<T = unknown, M = Network, O = unknown> {
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
  /** Before the forward of a training batch; its outputs are empty. */
  onTrainBatchStart?(event: BatchEvent<T>): void | Promise<void>
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

/** Where a run stands; told to loggers after every batch, without reading anything from the device. */
export interface Progress {
  readonly stage: Stage
  readonly epoch: number
  readonly maxEpochs: number
  /** Batches done of this epoch, or of this validation. */
  readonly batch: number
  readonly batches: number
  /** Optimizer steps done of the whole run. */
  readonly step: number
  readonly totalSteps: number
  /** Images of this batch, whatever the number of views. */
  readonly images: number
  /** Newest value of each metric. */
  readonly latest: ReadonlyMap<string, number>
}

/** Where metrics go. */
export interface Logger {
  progress?(progress: Progress): void
  /** One line for the person at the terminal. */
  print?(line: string): void
  logMetrics(metrics: Record<string, number>, at: { step: number; epoch: number }): void | Promise<void>
  logHyperparameters?(hyperparameters: Record<string, unknown>): void | Promise<void>
  finalize?(status: 'success' | 'failed' | 'interrupted'): void | Promise<void>
  state?(): State | Promise<State>
  loadState?(state: State): void | Promise<void>
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
