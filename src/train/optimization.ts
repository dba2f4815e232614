/**
 * The optimizers of a run: built from a module's `optim`, stepped with their own frequency, clipping and schedule.
 * Update rules and schedules live in `optim`.
 */
import { argumentInvalid, SptError } from '../errors.js'
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
import { clipGradNorm, clipGradValue, scaleGradients, type Tensor } from '../tensor/index.js'

/** How one optimizer is described in `optim`; every part has the defaults of the library people know. */
export interface OptimConfig {
  /** A name, `{ type, …options }`, or a function of the parameter groups. Default AdamW. */
  optimizer?: OptimizerConfig
  /** A name, `{ type, …options }`, or a function of the optimizer. Default CosineAnnealingLR over the run; null: none. */
  scheduler?: SchedulerConfig | null
  /** Schedules move after each step of their optimizer; "epoch" is accepted and means the same. */
  interval?: 'step' | 'epoch'
  /** Batches whose gradients are averaged into one step. */
  frequency?: number
  /** Metric that ReduceLROnPlateau watches. */
  monitor?: string
  gradientClipVal?: number
  gradientClipAlgorithm?: 'norm' | 'value'
}

/** Several optimizers: each takes the modules whose qualified name its pattern matches at the start. */
export type MultiOptimConfig = Record<string, OptimConfig & { modules: string | RegExp }>

/** One optimizer at work. */
export interface OptimizerEntry {
  readonly name: string
  readonly optimizer: Optimizer
  readonly scheduler?: Scheduler | undefined
  readonly frequency: number
  readonly monitor?: string | undefined
  readonly gradientClipVal?: number | undefined
  readonly gradientClipAlgorithm?: 'norm' | 'value' | undefined
}

/** What a module's `optim` is completed with. */
export interface OptimDefaults {
  readonly totalSteps: number
  readonly maxEpochs: number
  readonly accumulateGradBatches: number
  readonly gradientClipVal?: number | undefined
  readonly gradientClipAlgorithm?: 'norm' | 'value' | undefined
}

/** Builds the optimizers of `optim`: one over all parameters, several by pattern, or none where it is null or empty. */
export function buildOptimizers(
  module: Network<unknown>,
  optim: OptimConfig | MultiOptimConfig | null | undefined,
  defaults: OptimDefaults,
  warn: (line: string) => void,
): OptimizerEntry[] {
  if (optim === null || (optim !== undefined && Object.keys(optim).length === 0)) return []
  const trained = [...module.namedParameters()].filter(([name]) => !name.startsWith('callbacks_'))
  if (optim === undefined || isSingle(optim)) return [buildEntry('default_0', trained, optim ?? {}, defaults)]
  const rules = Object.fromEntries(Object.entries(optim).map(([name, { modules }]) => [name, modules]))
  const assigned = assignParameters(module, rules)
  return Object.entries(optim).flatMap(([name, config]) => {
    const { parameters } = assigned.get(name) as Assignment
    if (parameters.length === 0)
      warn(`optimizer "${name}": no parameter matches ${String(config.modules)}; it is left out`)
    return parameters.length === 0 ? [] : [buildEntry(name, parameters, config, defaults)]
  })
}

/** After the one backward of a batch: whichever optimizers are due step. Returns those that did. */
export function stepOptimizers(
  entries: readonly OptimizerEntry[],
  batchIdx: number,
  lastBatch: boolean,
  latest: ReadonlyMap<string, number>,
): OptimizerEntry[] {
  return entries.filter((entry) => {
    const { optimizer, scheduler, frequency, gradientClipVal, gradientClipAlgorithm = 'norm' } = entry
    const window = (batchIdx % frequency) + 1 // the last window of an epoch may be shorter
    if (window < frequency && !lastBatch) return false
    const params = optimizer.groups.flatMap((group) => group.params)
    if (window > 1) scaleGradients(params, 1 / window)
    if (gradientClipVal !== undefined) {
      if (gradientClipAlgorithm === 'norm') clipGradNorm(params, gradientClipVal)
      else clipGradValue(params, gradientClipVal)
    }
    optimizer.step()
    scheduler?.step(entry.monitor === undefined ? undefined : latest.get(entry.monitor))
    optimizer.zeroGrad()
    return true
  })
}

function buildEntry(
  name: string,
  named: ReadonlyArray<[string, Tensor]>,
  config: OptimConfig,
  { totalSteps, maxEpochs, ...defaults }: OptimDefaults,
): OptimizerEntry {
  if (named.length === 0) {
    throw new SptError('ERR_ARGUMENT', `optimizer "${name}": the module has no parameters to train`, {
      hint: 'Assign networks to the module, or give `optim: null` to train nothing.',
    })
  }
  const frequency = config.frequency ?? defaults.accumulateGradBatches
  if (!Number.isInteger(frequency) || frequency < 1) {
    throw argumentInvalid(`optim.${name}.frequency`, 'an integer of at least 1', frequency)
  }
  const optimizer = createOptimizer(named, config.optimizer ?? 'AdamW')
  const scheduler =
    config.scheduler === null
      ? undefined
      : createScheduler(optimizer, config.scheduler ?? 'CosineAnnealingLR', {
          totalSteps: Math.ceil((totalSteps * defaults.accumulateGradBatches) / frequency),
          maxEpochs,
        })
  return {
    name,
    optimizer,
    scheduler,
    frequency,
    monitor: config.monitor,
    gradientClipVal: config.gradientClipVal ?? defaults.gradientClipVal,
    gradientClipAlgorithm: config.gradientClipAlgorithm ?? defaults.gradientClipAlgorithm,
  }
}

function isSingle(optim: OptimConfig | MultiOptimConfig): optim is OptimConfig {
  const entries = Object.values(optim as MultiOptimConfig)
  return !entries.every((entry) => typeof entry === 'object' && entry !== null && 'modules' in entry)
}
