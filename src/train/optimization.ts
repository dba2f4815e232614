/**
 * The optimizers of a run, built from a module's `optim`, and who trains what. They are stepped in `stepping`; what may
 * be written is in `optim-config`; update rules and schedules live in `optim`.
 */
import { SptError } from '../errors.js'
import type { Module as Network } from '../nn/index.js'
import {
  type Assignment,
  assignParameters,
  createOptimizer,
  createScheduler,
  type Optimizer,
  type OptimizerConfig,
  type Scheduler,
  type SchedulerConfig,
} from '../optim/index.js'
import type { Tensor } from '../tensor/index.js'
import { isAssigned, type NamedOptim, type Optim, readOptim } from './optim-config.js'

/** One optimizer at work. */
export interface OptimizerEntry {
  readonly name: string
  readonly optimizer: Optimizer
  readonly scheduler?: Scheduler | undefined
  /** Batches whose gradients are averaged into one step. */
  readonly frequency: number
  readonly monitor?: string | undefined
  readonly gradientClipVal?: number | undefined
  readonly gradientClipAlgorithm?: 'norm' | 'value' | undefined
}

/** How long a run is. */
export interface RunLength {
  /** Batches of an epoch. */
  readonly trainBatches: number
  readonly maxEpochs: number
  /** Steps of the first optimizer. */
  readonly maxSteps: number
}

/** What a module's `optim` is completed with. */
export interface OptimDefaults extends RunLength {
  readonly accumulateGradBatches: number
  readonly gradientClipVal?: number | undefined
  readonly gradientClipAlgorithm?: 'norm' | 'value' | undefined
}

/**
 * Builds the optimizers of `optim`: one over all parameters, several by pattern, or none where it is null or empty.
 * `print` is told who trains what, and which optimizer is left out because nothing matches it.
 */
export async function buildOptimizers(
  module: Network<unknown>,
  optim: Optim | undefined,
  defaults: OptimDefaults,
  print: (line: string) => void,
): Promise<OptimizerEntry[]> {
  const configs = readOptim(optim)
  const assigned = assign(module, configs)
  if (isAssigned(configs)) print(assignmentTable(configs, assigned))
  const entries: OptimizerEntry[] = []
  for (const [index, config] of configs.entries()) {
    const { name, modules } = config
    const { parameters } = assigned[index] as Assignment
    if (parameters.length > 0) entries.push(await buildEntry(config, parameters, defaults, configs[0]))
    else if (modules !== undefined)
      print(`optimizer "${name}": no parameter matches ${String(modules)}; it is left out`)
    else {
      throw new SptError('ERR_ARGUMENT', `optimizer "${name}": the module has no parameters to train`, {
        hint: 'Assign networks to the module, or give `optim: null` to train nothing.',
      })
    }
  }
  return entries
}

/** Steps of the whole run of the optimizer that counts them: the first one, else one of the given frequency. */
export function stepsOfRun(optim: Optim | undefined, length: RunLength, accumulateGradBatches: number): number {
  return stepsOf(readOptim(optim)[0]?.frequency ?? accumulateGradBatches, length)
}

/** Steps of an optimizer: the last window of an epoch may be shorter, and the first optimizer's steps may be limited. */
function stepsOf(frequency: number, { trainBatches, maxEpochs, maxSteps }: RunLength, first = frequency): number {
  if (trainBatches === 0) return 0
  const steps = (every: number) => Math.ceil(trainBatches / every) * maxEpochs
  return steps(first) <= maxSteps ? steps(frequency) : Math.ceil((maxSteps * first) / frequency)
}

function assign(module: Network<unknown>, configs: readonly NamedOptim[]): Assignment[] {
  if (!isAssigned(configs)) {
    const parameters = [...module.namedParameters()].filter(([name]) => !name.startsWith('callbacks_'))
    return configs.map(() => ({ modules: [], parameters }))
  }
  const assigned = assignParameters(
    module,
    Object.fromEntries(configs.map(({ name, modules = '' }) => [name, modules])),
  )
  return configs.map(({ name }) => assigned.get(name) as Assignment)
}

async function buildEntry(
  config: NamedOptim,
  named: ReadonlyArray<[string, Tensor]>,
  { accumulateGradBatches, ...defaults }: OptimDefaults,
  first: NamedOptim | undefined,
): Promise<OptimizerEntry> {
  const { name, frequency = accumulateGradBatches, gradientClipVal = defaults.gradientClipVal } = config
  const optimizer = await createOptimizer(named, (config.optimizer ?? 'AdamW') as OptimizerConfig)
  const { monitor, chosen } = readScheduler(config)
  const length = {
    // A run without training data has optimizers all the same, and schedules want a length.
    totalSteps: Math.max(1, stepsOf(frequency, defaults, first?.frequency ?? accumulateGradBatches)),
    maxEpochs: defaults.maxEpochs,
  }
  const scheduler = chosen === null ? undefined : await createScheduler(optimizer, chosen as SchedulerConfig, length)
  return {
    name,
    optimizer,
    scheduler,
    frequency,
    monitor: scheduler?.watchesMetric ? (monitor ?? config.monitor ?? 'val_loss') : undefined,
    gradientClipVal: gradientClipVal ?? undefined,
    gradientClipAlgorithm: config.gradientClipAlgorithm ?? defaults.gradientClipAlgorithm,
  }
}

/** A scheduler's description without the metric that may stand in it. */
function readScheduler({ scheduler = 'CosineAnnealingLR' }: NamedOptim): { monitor?: string; chosen: unknown } {
  if (typeof scheduler !== 'object' || scheduler === null) return { chosen: scheduler }
  const { monitor, ...chosen } = scheduler
  return { ...(typeof monitor === 'string' && { monitor }), chosen }
}

/** Who trains what, a line an optimizer. */
function assignmentTable(configs: readonly NamedOptim[], assigned: readonly Assignment[]): string {
  const head = ['optimizer', 'pattern', 'modules', 'tensors', 'parameters', 'tensors with gradient']
  const rows = configs.map(({ name, modules }, index) => {
    const { modules: matched, parameters } = assigned[index] as Assignment
    const total = parameters.reduce((sum, [, parameter]) => sum + parameter.numel, 0)
    const trained = parameters.filter(([, parameter]) => parameter.requiresGrad)
    return [name, String(modules), matched.length, parameters.length, total, trained.length].map(String)
  })
  const table = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...table.map((row) => (row[column] ?? '').length)))
  const line = (row: string[]) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ')
  return table.map(line).join('\n')
}
