/**
 * How a plugin is written: one definition shape for all kinds.
 * A plugin's file exports by default what one of these functions returns (or an array of such definitions).
 *
 * The zod schema under `config` is the only statement of its options' types, defaults, ranges and help.
 */
import type { z } from 'zod'
import type { PluginUse } from '../config/reference.js'
import type {
  BatchChange,
  BatchSampler,
  BatchTransform,
  Dataset,
  MultiView,
  Sampler,
  Transform,
} from '../data/index.js'
import type { Metric } from '../metrics/index.js'
import type { Optimizer, ParamGroupInput, ScheduledOptimizer, Scheduler } from '../optim/index.js'
import type { Backbone, Callback, Logger, Method, MethodTraits, Network, Services } from './contracts.js'
import { atPlaces, withPlaces } from './image-transform.js'
import { applyOptimizerOptions, withOptimizerOptions } from './optimizer-options.js'

/** The kinds of plugins and the folder of each kind's built-in ones. */
export const kinds = {
  method: 'methods',
  backbone: 'backbones',
  dataset: 'datasets',
  transform: 'transforms',
  sampler: 'samplers',
  collator: 'collators',
  callback: 'callbacks',
  metric: 'metrics',
  logger: 'loggers',
  optimizer: 'optimizers',
  scheduler: 'schedulers',
  part: 'parts',
} as const

export type Kind = keyof typeof kinds

type Maybe<T> = T | Promise<T>

/** What every `build` receives beside its kind's context. */
export interface Nested {
  /** Builds a plugin that a `reference(kind)` field of the config names. */
  build<K extends Kind>(use: PluginUse<K>, context: BuildContexts[K]): Promise<Built[K]>
}

/** What `build` receives, by kind; `config` is added to each. */
export interface BuildContexts {
  method: {
    readonly backbone: Backbone & { readonly name: string }
    readonly numClasses?: number
    /** Optimizer steps of the whole run. */
    readonly totalSteps: number
    readonly seed: number
  }
  backbone: {
    readonly seed: number
    /** Relative paths of weights are taken from here: the folder of the configuration. */
    readonly root?: string
    /** One line to the person at the terminal. */
    log?(line: string): void
  }
  dataset: {
    /** Relative paths are taken from here: the folder of the configuration. */
    readonly root: string
    /** One line to the person at the terminal. */
    log?(line: string): void
  }
  transform: object
  sampler: {
    readonly dataset: Dataset
    /** Of the run: what a sampler takes that is given none. */
    readonly seed: number
  }
  collator: object
  callback: {
    readonly services: Services
    readonly backbone: Backbone & { readonly name: string }
    readonly numClasses?: number
  }
  metric: { /** What the metric's own numClasses defaults to. */ readonly numClasses?: number }
  logger: { readonly services: Services; readonly runDirectory: string }
  optimizer: { readonly params: ParamGroupInput[] }
  scheduler: { readonly optimizer: ScheduledOptimizer; readonly totalSteps: number; readonly maxEpochs: number }
  part: { /** The run's, for parts that wrap it. */ readonly backbone: Backbone }
}

/** What `build` returns, by kind. */
export interface Built {
  method: Method
  backbone: Backbone
  dataset: Dataset
  transform: Transform | MultiView | BatchTransform
  sampler: Sampler | BatchSampler
  collator: BatchChange
  callback: Callback
  metric: Metric
  logger: Logger
  optimizer: Optimizer
  scheduler: Scheduler
  part: Network
}

/** What a definition of a kind says beside what all say. */
export interface Traits extends Record<Kind, object> {
  method: MethodTraits
}

/** What an author writes. `Schema` is an object schema; `build` gets its parsed output as `config`. */
export type Specification<K extends Kind, Schema extends z.ZodObject> = OwnSpecification<K, Schema> & Traits[K]

interface OwnSpecification<K extends Kind, Schema extends z.ZodObject> {
  /** The name it is asked for by; a built-in's file has the same name. Unique within its kind. */
  readonly name: string
  /** Further names: the class name in PyTorch or stable-pretraining where it differs. */
  readonly aliases?: readonly string[]
  /** Names it answers to in a Hydra-style `_target_`. */
  readonly targets?: readonly string[]
  /** Options in the order of Hydra's `_args_`; one that begins with "..." takes all that are left. */
  readonly positional?: readonly string[]
  /** By target: options, as in YAML, whose defaults differ under that name. */
  readonly targetDefaults?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** One sentence. */
  readonly description: string
  /** Where the idea comes from, such as "Chen et al. 2020, arXiv:2002.05709". */
  readonly paper?: string
  /** For loggers: used where a configuration names no logger at all. */
  readonly usedByDefault?: boolean
  /** Every field with a default where one makes sense, and a sentence (`.describe`). */
  readonly config: Schema
  build(context: BuildContexts[K] & Nested & { readonly config: z.output<Schema> }): Maybe<Built[K]>
}

/** A definition as the registry sees it. */
export type Definition<K extends Kind = Kind> = OwnDefinition<K> & Traits[K]

interface OwnDefinition<K extends Kind> extends Omit<OwnSpecification<K, z.ZodObject>, 'build'> {
  readonly kind: K
  readonly [mark]: typeof version
  // The registry hands over a config this definition's own schema has parsed, hence `never` for the writer's side.
  build(context: BuildContexts[K] & Nested & { readonly config: never }): Maybe<Built[K]>
}

// A definition is known by this mark even when its author's copy of this package is another one than the user's.
const mark = Symbol.for('stable-pretraining.definition')
const version = 1

function defineKind<K extends Kind>(kind: K) {
  return <Schema extends z.ZodObject>(specification: Specification<K, Schema>): Definition<K> =>
    ({ ...specification, config: specification.config.strict(), kind, [mark]: version }) as unknown as Definition<K>
}

export const defineMethod = defineKind('method')

/** A layer or a loss that a module composed in a configuration is made of. */
export const definePart = defineKind('part')
export const defineBackbone = defineKind('backbone')
export const defineDataset = defineKind('dataset')
export const defineTransform = defineKind('transform')

/** An order of single samples, or whole batches of them: `data.train.sampler`, `batch_sampler`. */
export const defineSampler = defineKind('sampler')
/** A change of each batch before it leaves the loader: `data.train.collate`. */
export const defineCollator = defineKind('collator')

/** A transform of images; it also takes `source` and `target`, where in a sample the image is and where it goes. */
export function defineImageTransform<Schema extends z.ZodObject>(
  specification: Specification<'transform', Schema> & {
    build(context: { readonly config: z.output<Schema> }): Transform
  },
): Definition<'transform'> {
  return defineKind('transform')<Schema>({
    ...specification,
    config: withPlaces(specification.config),
    build: (context) =>
      atPlaces(context.config, (config) => specification.build({ ...context, config } as never) as Transform),
  })
}

export const defineCallback = defineKind('callback')
export const defineMetric = defineKind('metric')
export const defineLogger = defineKind('logger')

/** Every optimizer also takes the rules of weight decay (`excludeBiasNorm` …); its `build` gets the groups they make. */
export function defineOptimizer<Schema extends z.ZodObject>(
  specification: Specification<'optimizer', Schema>,
): Definition<'optimizer'> {
  return defineKind('optimizer')<Schema>({
    ...specification,
    config: withOptimizerOptions(specification.config),
    build: (context) =>
      specification.build({
        ...context,
        ...applyOptimizerOptions(specification.config, context.params, context.config),
      } as never),
  })
}

export const defineScheduler = defineKind('scheduler')

/** Whether something exported by a module is a definition, of whichever copy of this package. */
export function isDefinition(value: unknown): value is Definition {
  return typeof value === 'object' && value !== null && mark in value && 'kind' in value
}
