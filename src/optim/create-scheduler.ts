/** Schedulers by name, with stable-pretraining's defaults from the length of the run. Their formulas are elsewhere. */
import { suggest } from '../config/suggest.js'
import { SptError } from '../errors.js'
import { ChainedScheduler, SequentialLR } from './composed-schedulers.js'
import { byName } from './create.js'
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
import { ReduceLROnPlateau } from './reduce-on-plateau.js'
import type { ScheduledOptimizer, Scheduler } from './scheduler.js'
import {
  LinearWarmup,
  LinearWarmupCosineAnnealing,
  LinearWarmupCosineAnnealingLR,
  LinearWarmupCyclicAnnealing,
  LinearWarmupThreeStepsAnnealing,
} from './warmup-schedulers.js'

export type SchedulerClass = new (optimizer: ScheduledOptimizer, options: never) => Scheduler

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

/** The options of each; `!` marks those it cannot do without and that no length of a run gives. */
const optionsOf: Record<string, string> = {
  ChainedScheduler: 'schedulers!',
  ConstantLR: 'factor totalIters',
  CosineAnnealingLR: 'tMax etaMin',
  CosineAnnealingWarmRestarts: 't0! tMult etaMin',
  CyclicLR:
    'baseLr! maxLr! stepSizeUp stepSizeDown mode gamma scaleFn scaleMode cycleMomentum baseMomentum maxMomentum',
  ExponentialLR: 'gamma',
  LambdaLR: 'lrLambda!',
  LinearLR: 'startFactor endFactor totalIters',
  LinearWarmup: 'totalSteps startFactor peakStep',
  LinearWarmupCosineAnnealing: 'totalSteps startFactor endLr peakStep',
  LinearWarmupCosineAnnealingLR: 'warmupSteps maxSteps warmupStartLr etaMin',
  LinearWarmupCyclicAnnealing: 'totalSteps startFactor peakStep',
  LinearWarmupThreeStepsAnnealing: 'totalSteps startFactor gamma peakStep',
  MultiplicativeLR: 'lrLambda!',
  MultiStepLR: 'milestones! gamma',
  OneCycleLR:
    'maxLr totalSteps epochs stepsPerEpoch pctStart annealStrategy cycleMomentum baseMomentum maxMomentum ' +
    'divFactor finalDivFactor threePhase',
  PolynomialLR: 'totalIters power',
  ReduceLROnPlateau: 'mode factor patience threshold thresholdMode cooldown minLr eps',
  SequentialLR: 'schedulers! milestones!',
  StepLR: 'stepSize gamma',
}

/** What a scheduler's defaults are derived from. */
export interface TrainingLength {
  /** Optimizer steps of the whole run. */
  totalSteps: number
  maxEpochs: number
}

/** A name, a class, options with a `type` of either kind, or a function of the optimizer. */
export type SchedulerConfig =
  | string
  | SchedulerClass
  | ({ type?: string | SchedulerClass } & Record<string, unknown>)
  | ((optimizer: ScheduledOptimizer, length: TrainingLength) => Scheduler)

/**
 * Builds a scheduler; the default type is CosineAnnealingLR. What the length of the run determines (tMax, totalSteps,
 * peakStep …) is filled in where it is not given.
 *
 * @throws ERR_ARGUMENT for an unknown name, listing the known ones, for an option that is unknown, missing or out of range.
 */
export function createScheduler(
  optimizer: ScheduledOptimizer,
  config: SchedulerConfig = 'CosineAnnealingLR',
  length: TrainingLength,
): Scheduler {
  if (typeof config === 'function' && !isClass(config)) return config(optimizer, length)
  const { type = 'CosineAnnealingLR', ...rest } =
    typeof config === 'string' || isClass(config) ? { type: config } : config
  const options = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  const chosen = typeof type === 'string' ? byName(schedulerClasses, type, 'scheduler') : type
  const name = Object.keys(schedulerClasses).find((known) => schedulerClasses[known] === chosen)
  if (name === undefined) return new chosen(optimizer, options as never)
  checkOptions(name, options)
  const given = Object.keys(options).length > 0
  const filled = { ...defaultSchedulerOptions(name, length, optimizer.groups[0]?.lr ?? 0, given), ...options }
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

function checkOptions(name: string, options: Record<string, unknown>): void {
  const all = (optionsOf[name] ?? '').split(' ')
  const known = all.map((option) => option.replace('!', ''))
  for (const option of Object.keys(options)) {
    if (known.includes(option)) continue
    const near = suggest(option, known)
    const guess = near === undefined ? '' : `; did you mean "${near}"?`
    throw new SptError('ERR_ARGUMENT', `${name} has no option "${option}"${guess}`, {
      hint: `Its options: ${known.join(', ')}.`,
    })
  }
  const missing = all.filter((option) => option.endsWith('!') && !(option.slice(0, -1) in options))
  if (missing.length > 0) {
    const list = missing.map((option) => option.slice(0, -1)).join(' and ')
    throw new SptError('ERR_ARGUMENT', `${name} needs ${list}`, { hint: `Its options: ${known.join(', ')}.` })
  }
}

function isClass(value: unknown): value is SchedulerClass {
  return typeof value === 'function' && typeof value.prototype?.step === 'function'
}
