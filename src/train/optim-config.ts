/**
 * A module's `optim`: what may be written, and what it means. The two forms are told apart here, and mistakes are named.
 * Optimizers are made of it in `optimization`.
 */
import { suggest } from '../config/suggest.js'
import { argumentInvalid, SptError } from '../errors.js'
import type {
  Optimizer,
  OptimizerConfig,
  ParamGroupInput,
  ScheduledOptimizer,
  Scheduler,
  SchedulerConfig,
  TrainingLength,
} from '../optim/index.js'

/** How one optimizer is described in `optim`; every part has the defaults of the library people know. */
export interface OptimConfig {
  /** A name, `{ type, …options }`, a class, or a function of the parameter groups. Default AdamW. */
  optimizer?: OptimizerConfig | ((groups: ParamGroupInput[]) => Promise<Optimizer>) | undefined
  /**
   * A name, `{ type, …options }`, a class, or a function of the optimizer. Default CosineAnnealingLR over the run; null:
   * none. `monitor` beside the options says what ReduceLROnPlateau watches.
   */
  scheduler?:
    | SchedulerConfig
    | ((optimizer: ScheduledOptimizer, length: TrainingLength) => Promise<Scheduler>)
    | null
    | undefined
  /** Schedules move after each step of their optimizer; "epoch" is accepted and means the same. */
  interval?: 'step' | 'epoch' | undefined
  /** Batches whose gradients are averaged into one step; default the trainer's `accumulateGradBatches`. */
  frequency?: number | undefined
  /** Accepted and without effect, as `interval`: a schedule moves with its optimizer. */
  schedulerFrequency?: number | undefined
  /** Metric that ReduceLROnPlateau watches; default "val_loss". */
  monitor?: string | undefined
  /** Default the trainer's; null: none. */
  gradientClipVal?: number | null | undefined
  gradientClipAlgorithm?: 'norm' | 'value' | undefined
}

/** Several optimizers: each takes the modules whose qualified name its pattern matches at the start. */
export type MultiOptimConfig = Record<string, OptimConfig & { modules: string | RegExp }>

/** Everything that a module's `optim` may be; a function or a name alone is the optimizer of all parameters. */
export type Optim = OptimConfig | MultiOptimConfig | string | ((groups: ParamGroupInput[]) => Optimizer) | null

/** One described optimizer; without `modules` it takes every parameter but those of callbacks. */
export interface NamedOptim extends OptimConfig {
  readonly name: string
  readonly modules?: string | RegExp
}

/**
 * The optimizers that `optim` describes, in their order; none where it is null or empty, AdamW where it is absent.
 *
 * @throws ERR_ARGUMENT naming the key that is unknown, missing, or of the wrong type.
 */
export function readOptim(optim: Optim | undefined): NamedOptim[] {
  if (optim === null) return []
  if (optim === undefined) return [{ name: 'default_0' }]
  if (typeof optim === 'function' || typeof optim === 'string') return [{ name: 'default_0', optimizer: optim }]
  if (typeof optim !== 'object') throw argumentInvalid('optim', 'an object, a name, a function or null', optim)
  const entries = Object.entries(optim as Record<string, unknown>)
  if (entries.length === 0) return []
  if (isSingle(optim)) return [{ name: 'default_0', ...check('optim', optim, singleKeys) }]
  return entries.map(([name, config]) => {
    const where = `optim.${name}`
    if (typeof config !== 'object' || config === null || !('modules' in config)) throw notAnEntry(name, config)
    const { modules } = config
    if (typeof modules !== 'string' && !(modules instanceof RegExp)) {
      throw argumentInvalid(`${where}.modules`, 'a regular expression', modules)
    }
    return { name, ...check(where, config, ['modules', ...singleKeys]) }
  })
}

/** Whether some optimizer of `optim` is given modules, so that a table of who has what is of use. */
export function isAssigned(configs: readonly NamedOptim[]): boolean {
  return configs.some(({ modules }) => modules !== undefined)
}

const singleKeys = [
  'optimizer',
  'scheduler',
  'interval',
  'frequency',
  'schedulerFrequency',
  'monitor',
  'gradientClipVal',
  'gradientClipAlgorithm',
]

/** The single form has the key `optimizer`, or keys of its own only; entries of the other form have `modules`. */
function isSingle(optim: OptimConfig | MultiOptimConfig): optim is OptimConfig {
  const hasModules = (value: unknown) => typeof value === 'object' && value !== null && 'modules' in value
  if (Object.values(optim).some(hasModules)) return false
  return 'optimizer' in optim || Object.keys(optim).every((key) => singleKeys.includes(key))
}

function check(where: string, config: object, known: readonly string[]): OptimConfig {
  for (const key of Object.keys(config)) {
    if (known.includes(key)) continue
    const near = suggest(key, known)
    throw new SptError('ERR_ARGUMENT', `${where}: unknown key "${key}"${near ? `; did you mean "${near}"?` : ''}`, {
      hint: `Known keys: ${known.join(', ')}.`,
    })
  }
  const { frequency, schedulerFrequency, interval, gradientClipVal, gradientClipAlgorithm, monitor } =
    config as OptimConfig
  const refuse = (key: string, expected: string, got: unknown) => argumentInvalid(`${where}.${key}`, expected, got)
  for (const [key, value] of Object.entries({ frequency, schedulerFrequency })) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      throw refuse(key, 'an integer of at least 1', value)
  }
  if (interval !== undefined && interval !== 'step' && interval !== 'epoch')
    throw refuse('interval', '"step" or "epoch"', interval)
  if (gradientClipAlgorithm !== undefined && gradientClipAlgorithm !== 'norm' && gradientClipAlgorithm !== 'value')
    throw refuse('gradientClipAlgorithm', '"norm" or "value"', gradientClipAlgorithm)
  if (gradientClipVal !== undefined && gradientClipVal !== null && !(gradientClipVal > 0))
    throw refuse('gradientClipVal', 'a positive number', gradientClipVal)
  if (monitor !== undefined && typeof monitor !== 'string') throw refuse('monitor', 'the name of a metric', monitor)
  return config as OptimConfig
}

function notAnEntry(name: string, config: unknown): SptError {
  const near = suggest(name, singleKeys)
  return argumentInvalid(
    `optim.${name}`,
    'an optimizer of its own, { modules, optimizer, … }',
    config,
    near === undefined
      ? '`modules` is a regular expression for the names of the modules it trains. One optimizer alone is { optimizer, … }.'
      : `For one optimizer alone the key is "${near}".`,
  )
}
