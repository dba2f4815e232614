/** PyTorch's elementary schedules: constant, linear, polynomial, exponential, steps, cosine, lambda. No composition. */
import { SptError } from '../errors.js'
import { LRScheduler, type Schedule, type ScheduledOptimizer } from './scheduler.js'

/** Multiplies the rate by `factor` until `totalIters` steps have passed. */
export class ConstantLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { factor = 1 / 3, totalIters = 5 } = {}) {
    if (factor < 0 || factor > 1) throw outside('factor', factor, '0 to 1')
    super(optimizer, {
      next: ({ lr, step }) => (step === 0 ? lr * factor : step === totalIters ? lr / factor : lr),
      closed: ({ baseLr, step }) => baseLr * (step >= totalIters ? 1 : factor),
    })
  }
}

/** Moves the factor linearly from `startFactor` to `endFactor` in `totalIters` steps. */
export class LinearLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { startFactor = 1 / 3, endFactor = 1, totalIters = 5 } = {}) {
    super(optimizer, linear(startFactor, endFactor, totalIters))
  }
}

/** The schedule of LinearLR. @throws ERR_ARGUMENT when a factor is out of range. */
export function linear(startFactor: number, endFactor: number, totalIters: number): Schedule {
  if (startFactor <= 0 || startFactor > 1) throw outside('startFactor', startFactor, 'above 0 to 1')
  if (endFactor < 0 || endFactor > 1) throw outside('endFactor', endFactor, '0 to 1')
  const rise = endFactor - startFactor
  return {
    next({ lr, step }) {
      if (step === 0) return lr * startFactor
      if (step > totalIters) return lr
      return lr * (1 + rise / (totalIters * startFactor + (step - 1) * rise))
    },
    closed: ({ baseLr, step }) => baseLr * (startFactor + (rise * Math.min(totalIters, step)) / totalIters),
  }
}

/** Lets the rate fall to 0 as (1 − step / totalIters)^power. */
export class PolynomialLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { totalIters = 5, power = 1 } = {}) {
    super(optimizer, {
      next({ lr, step }) {
        if (step === 0 || step > totalIters) return lr
        return lr * ((1 - step / totalIters) / (1 - (step - 1) / totalIters)) ** power
      },
      closed: ({ baseLr, step }) => baseLr * (1 - Math.min(totalIters, step) / totalIters) ** power,
    })
  }
}

/** Multiplies the rate by `gamma` every step. */
export class ExponentialLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { gamma }: { gamma: number }) {
    super(optimizer, {
      next: ({ lr, step }) => (step === 0 ? lr : lr * gamma),
      closed: ({ baseLr, step }) => baseLr * gamma ** step,
    })
  }
}

/** Multiplies the rate by `gamma` every `stepSize` steps. */
export class StepLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { stepSize, gamma = 0.1 }: { stepSize: number; gamma?: number }) {
    if (!(stepSize >= 1)) throw outside('stepSize', stepSize, '1 or more')
    super(optimizer, {
      next: ({ lr, step }) => (step === 0 || step % stepSize !== 0 ? lr : lr * gamma),
      closed: ({ baseLr, step }) => baseLr * gamma ** Math.floor(step / stepSize),
    })
  }
}

/** Multiplies the rate by `gamma` at each milestone; a milestone listed twice counts twice, a fractional one never. */
export class MultiStepLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { milestones, gamma = 0.1 }: { milestones: number[]; gamma?: number }) {
    super(optimizer, {
      next: ({ lr, step }) => lr * gamma ** milestones.filter((milestone) => milestone === step).length,
      closed: ({ baseLr, step }) => baseLr * gamma ** milestones.filter((milestone) => milestone <= step).length,
    })
  }
}

/** Follows a half cosine from the initial rate to `etaMin` in `tMax` steps, and back. Loshchilov & Hutter 2017, eq. 5. */
export class CosineAnnealingLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, { tMax, etaMin = 0 }: { tMax: number; etaMin?: number }) {
    if (!(tMax > 0)) throw outside('tMax', tMax, 'above 0')
    super(optimizer, cosineAnnealing(tMax, etaMin))
  }
}

function cosineAnnealing(tMax: number, etaMin: number): Schedule {
  return {
    next({ lr, baseLr, step }) {
      if (step === 0) return lr
      // At a trough the ratio below is 0/0; PyTorch climbs from there by the first difference.
      if (modulo(step - 1 - tMax, 2 * tMax) === 0) return lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2
      const ratio = (1 + Math.cos((Math.PI * step) / tMax)) / (1 + Math.cos((Math.PI * (step - 1)) / tMax))
      return ratio * (lr - etaMin) + etaMin
    },
    closed: ({ baseLr, step }) => etaMin + ((baseLr - etaMin) * (1 + Math.cos((Math.PI * step) / tMax))) / 2,
  }
}

/** Cosine that restarts after `t0` steps, each period `tMult` times longer. Loshchilov & Hutter 2017 (SGDR), §3. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  constructor(
    optimizer: ScheduledOptimizer,
    { t0, tMult = 1, etaMin = 0 }: { t0: number; tMult?: number; etaMin?: number },
  ) {
    if (!(t0 >= 1)) throw outside('t0', t0, '1 or more')
    if (!(tMult >= 1)) throw outside('tMult', tMult, '1 or more')
    const next = ({ baseLr, step }: { baseLr: number; step: number }) => {
      let period = t0
      let position = step
      while (position >= period) {
        position -= period
        period *= tMult
      }
      return etaMin + ((baseLr - etaMin) * (1 + Math.cos((Math.PI * position) / period))) / 2
    }
    super(optimizer, { next, closed: next })
  }
}

/** Multiplies the initial rate by `lrLambda(step)`; one function for all groups or one a group. */
export class LambdaLR extends LRScheduler {
  constructor(
    optimizer: ScheduledOptimizer,
    { lrLambda }: { lrLambda: ((step: number) => number) | Array<(step: number) => number> },
  ) {
    const next = ({ baseLr, step, group }: { baseLr: number; step: number; group: number }) =>
      baseLr * chosen(lrLambda, group)(step)
    super(optimizer, { next, closed: next })
  }
}

/** Multiplies the rate in effect by `lrLambda(step)` every step after the first. */
export class MultiplicativeLR extends LRScheduler {
  constructor(
    optimizer: ScheduledOptimizer,
    { lrLambda }: { lrLambda: ((step: number) => number) | Array<(step: number) => number> },
  ) {
    super(optimizer, { next: ({ lr, step, group }) => (step === 0 ? lr : lr * chosen(lrLambda, group)(step)) })
  }
}

function chosen(lambdas: ((step: number) => number) | Array<(step: number) => number>, group: number) {
  if (typeof lambdas === 'function') return lambdas
  const lambda = lambdas[group]
  if (!lambda) {
    throw new SptError(
      'ERR_ARGUMENT',
      `lrLambda has ${lambdas.length} functions, but the optimizer has a group ${group}`,
    )
  }
  return lambda
}

/** Remainder with the sign of the divisor, as in Python. */
function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor
}

function outside(name: string, value: number, range: string): SptError {
  return new SptError('ERR_ARGUMENT', `${name} is ${value}, expected ${range}`)
}
