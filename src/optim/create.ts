/** Optimizers and schedulers by name, with stable-pretraining's defaults. Classes are in their own files. */
import { SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { Adadelta, Adagrad, ASGD, RMSprop, Rprop } from './adagrad.js'
import { Adam, Adamax, AdamW, Lion, NAdam, RAdam } from './adam.js'
import { ChainedScheduler, SequentialLR } from './composed-schedulers.js'
import { CyclicLR, OneCycleLR } from './cyclic-schedulers.js'
import {
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  MultiplicativeLR,
  MultiStepLR,
  PolynomialLR,
  StepLR,
} from './decay-schedulers.js'
import type { Optimizer, ParamGroupInput } from './optimizer.js'
import { ReduceLROnPlateau } from './reduce-on-plateau.js'
import type { ScheduledOptimizer, Scheduler } from './scheduler.js'
import { LARS, SGD } from './sgd.js'
import {
  LinearWarmup,
  LinearWarmupCosineAnnealing,
  LinearWarmupCosineAnnealingLR,
  LinearWarmupCyclicAnnealing,
  LinearWarmupThreeStepsAnnealing,
} from './warmup-schedulers.js'
import { excludeBiasAndNorm } from './weight-decay.js'

type OptimizerClass = new (params: ParamGroupInput[], options: never) => Optimizer
type SchedulerClass = new (optimizer: ScheduledOptimizer, options: never) => Scheduler

/** All optimizers by PyTorch's names. */
export const optimizerClasses: Record<string, OptimizerClass> = {
  Adadelta,
  Adagrad,
  Adam,
  AdamW,
  Adamax,
  ASGD,
  LARS,
  Lion,
  NAdam,
  RAdam,
  RMSprop,
  Rprop,
  SGD,
}

/** All schedulers by PyTorch's and stable-pretraining's names. */
export const schedulerClasses: Record<string, SchedulerClass> = {
  ChainedScheduler,
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  CyclicLR,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  LinearWarmup,
  LinearWarmupCosineAnnealing,
  LinearWarmupCosineAnnealingLR,
  LinearWarmupCyclicAnnealing,
  LinearWarmupThreeStepsAnnealing,
  MultiplicativeLR,
  MultiStepLR,
  OneCycleLR,
  PolynomialLR,
  ReduceLROnPlateau,
  SequentialLR,
  StepLR,
}

/** A name, options with a `type`, or a function that is called with the parameter groups. */
export type OptimizerConfig =
  | string
  | ({ type?: string; excludeBiasNorm?: boolean } & Record<string, unknown>)
  | ((groups: ParamGroupInput[]) => Optimizer)

/**
 * Builds an optimizer over named parameters. The default type is AdamW; `excludeBiasNorm` makes two groups, the second
 * (biases, norms, tensors of one axis) without weight decay.
 *
 * @throws ERR_ARGUMENT for an unknown name, listing the known ones.
 */
export function createOptimizer(named: Iterable<[string, Tensor]>, config: OptimizerConfig = 'AdamW'): Optimizer {
  const all = [...named]
  const plain = () => [{ params: all.map(([, param]) => param), names: all.map(([name]) => name) }]
  if (typeof config === 'function') return config(plain())
  const { type = 'AdamW', excludeBiasNorm = false, ...options } = typeof config === 'string' ? { type: config } : config
  const chosen = find(optimizerClasses, type, 'optimizer')
  return new chosen(excludeBiasNorm ? excludeBiasAndNorm(all) : plain(), options as never)
}

/** What a scheduler's defaults are derived from. */
export interface TrainingLength {
  /** Optimizer steps of the whole run. */
  totalSteps: number
  maxEpochs: number
}

export type SchedulerConfig =
  | string
  | ({ type?: string } & Record<string, unknown>)
  | ((optimizer: ScheduledOptimizer, length: TrainingLength) => Scheduler)

/**
 * Builds a scheduler; the default type is CosineAnnealingLR. What the length of the run determines (tMax, totalSteps,
 * peakStep …) is filled in where it is not given.
 *
 * @throws ERR_ARGUMENT for an unknown name, listing the known ones.
 */
export function createScheduler(
  optimizer: ScheduledOptimizer,
  config: SchedulerConfig = 'CosineAnnealingLR',
  length: TrainingLength,
): Scheduler {
  if (typeof config === 'function') return config(optimizer, length)
  const { type = 'CosineAnnealingLR', ...options } = typeof config === 'string' ? { type: config } : config
  const chosen = find(schedulerClasses, type, 'scheduler')
  const given = Object.keys(options).length > 0
  const filled = { ...defaultSchedulerOptions(type, length, optimizer.groups[0]?.lr ?? 0, given), ...options }
  return new chosen(optimizer, filled as never)
}

/**
 * The options a scheduler takes from the length of the run. With `given` (the user chose some options already) only
 * those it cannot do without.
 */
export function defaultSchedulerOptions(
  type: string,
  { totalSteps, maxEpochs }: TrainingLength,
  lr: number,
  given = false,
): Record<string, unknown> {
  const share = (part: number) => Math.max(1, Math.floor(totalSteps * part))
  const peakStep = (part: number) => (given ? {} : { peakStep: share(part) })
  switch (type) {
    case 'CosineAnnealingLR':
      return { tMax: totalSteps }
    case 'OneCycleLR':
      return { maxLr: lr, totalSteps, ...(given ? {} : { pctStart: Math.min(10 / maxEpochs, 0.01) }) }
    case 'StepLR':
      return { stepSize: 30 }
    case 'ExponentialLR':
      return { gamma: 0.9 }
    case 'LinearWarmup':
    case 'LinearWarmupCosineAnnealing':
      return { totalSteps, ...peakStep(0.01) }
    case 'LinearWarmupCyclicAnnealing':
      return { totalSteps, ...peakStep(0.1) }
    case 'LinearWarmupThreeStepsAnnealing':
      return { totalSteps, ...peakStep(0.05) }
    case 'LinearWarmupCosineAnnealingLR':
      return { warmupSteps: share(0.01), maxSteps: totalSteps }
    default:
      return {}
  }
}

function find<T>(classes: Record<string, T>, name: string, kind: string): T {
  const found = Object.entries(classes).find(([known]) => known.toLowerCase() === name.toLowerCase())
  if (found) return found[1]
  throw new SptError('ERR_ARGUMENT', `unknown ${kind} "${name}"`, {
    hint: `Known: ${Object.keys(classes).join(', ')}.`,
  })
}
