/** Schedules with a linear warm-up, as stable-pretraining has them; the plain ones are in decay-schedulers. */
import { SequentialLR } from './composed-schedulers.js'
import { CosineAnnealingLR, LambdaLR, LinearLR, linear, MultiStepLR } from './decay-schedulers.js'
import { LRScheduler, type ScheduledOptimizer } from './scheduler.js'

export interface WarmupOptions {
  totalSteps: number
  /** The rate starts at startFactor · lr. */
  startFactor?: number
  /** The step at which the rate is reached; below 1 it is a share of totalSteps. */
  peakStep?: number
}

/** Linear from startFactor · lr to lr, then constant. */
export class LinearWarmup extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { totalSteps, startFactor = 0.01, peakStep = 0.1 }: WarmupOptions) {
    super(optimizer, linear(startFactor, 1, peak(peakStep, totalSteps)))
  }
}

/** Linear warm-up, then a half cosine to `endLr` over the remaining steps. */
export class LinearWarmupCosineAnnealing extends SequentialLR {
  constructor(optimizer: ScheduledOptimizer, options: WarmupOptions & { endLr?: number }) {
    const { totalSteps, startFactor = 0.01, endLr = 0, peakStep = 0.01 } = options
    const top = peak(peakStep, totalSteps)
    const warmup = new LinearLR(optimizer, { startFactor, totalIters: top })
    const decay = new CosineAnnealingLR(optimizer, { tMax: Math.max(1, totalSteps - top), etaMin: endLr })
    super(optimizer, { schedulers: [warmup, decay], milestones: [top] })
  }
}

/** Linear warm-up, then a falling line with three sine waves on it (see cosineDecayer). */
export class LinearWarmupCyclicAnnealing extends SequentialLR {
  constructor(optimizer: ScheduledOptimizer, { totalSteps, startFactor = 0.01, peakStep = 0.1 }: WarmupOptions) {
    const top = peak(peakStep, totalSteps)
    const warmup = new LinearLR(optimizer, { startFactor, totalIters: top })
    const decay = new LambdaLR(optimizer, { lrLambda: cosineDecayer(Math.max(1, totalSteps - top)) })
    super(optimizer, { schedulers: [warmup, decay], milestones: [top] })
  }
}

/**
 * Linear warm-up, then times `gamma` at 40, 60 and 80 % of the remaining steps. As upstream, a milestone that is not a
 * whole step never fires.
 */
export class LinearWarmupThreeStepsAnnealing extends SequentialLR {
  constructor(optimizer: ScheduledOptimizer, options: WarmupOptions & { gamma?: number }) {
    const { totalSteps, startFactor = 0.001, gamma = 0.3, peakStep = 0.05 } = options
    const top = peak(peakStep, totalSteps)
    const warmup = new LinearLR(optimizer, { startFactor, totalIters: top })
    const milestones = [0.4, 0.6, 0.8].map((share) => (totalSteps - top) * share)
    const decay = new MultiStepLR(optimizer, { milestones, gamma })
    super(optimizer, { schedulers: [warmup, decay], milestones: [top] })
  }
}

export interface WarmupCosineOptions {
  warmupSteps: number
  maxSteps: number
  warmupStartLr?: number
  etaMin?: number
}

/** Line from `warmupStartLr` to lr, then a cosine to `etaMin` at `maxSteps`; past it the cosine rises again. */
export class LinearWarmupCosineAnnealingLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, options: WarmupCosineOptions) {
    const { warmupSteps, maxSteps, warmupStartLr = 0, etaMin = 0 } = options
    const next = ({ baseLr, step }: { baseLr: number; step: number }) => {
      if (step < warmupSteps) return warmupStartLr + ((baseLr - warmupStartLr) * step) / Math.max(1, warmupSteps)
      const share = (step - warmupSteps) / Math.max(1, maxSteps - warmupSteps)
      return etaMin + ((baseLr - etaMin) * (1 + Math.cos(Math.PI * share))) / 2
    }
    super(optimizer, { next, closed: next })
  }
}

/** The factor (1 − t/T) · (1 + ½ sin(2π · cycles · t/T)) of step t; negative past T where the wave is high. */
export function cosineDecayer(totalSteps: number, cycles = 3): (step: number) => number {
  return (step) => {
    const share = step / totalSteps
    return (1 - share) * (1 + Math.sin(cycles * 2 * Math.PI * share) / 2)
  }
}

/** The peak in steps: a share of the total is cut to whole steps. */
function peak(peakStep: number, totalSteps: number): number {
  return peakStep < 1 ? Math.floor(peakStep * totalSteps) : peakStep
}
