/** PyTorch's OneCycleLR and CyclicLR: schedules that move the rate up and down and the momentum against it. */
import { SptError } from '../errors.js'
import type { ParamGroup } from './optimizer.js'
import { LRScheduler, type ScheduledOptimizer } from './scheduler.js'

export interface OneCycleOptions {
  /** Highest rate, one number or one a group. */
  maxLr: number | number[]
  totalSteps?: number
  /** With `stepsPerEpoch`: their product instead of `totalSteps`. */
  epochs?: number | undefined
  stepsPerEpoch?: number | undefined
  /** Share of the cycle in which the rate rises. */
  pctStart?: number
  annealStrategy?: 'cos' | 'linear'
  cycleMomentum?: boolean
  baseMomentum?: number | number[]
  maxMomentum?: number | number[]
  /** Initial rate = maxLr / divFactor. */
  divFactor?: number
  /** Last rate = initial rate / finalDivFactor. */
  finalDivFactor?: number
  /** Comes back to the initial rate before it falls to the last one. */
  threePhase?: boolean
}

/** One rise and one fall of the rate (Smith & Topin 2018, arXiv:1708.07120). @throws ERR_ARGUMENT after step `totalSteps`. */
export class OneCycleLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, options: OneCycleOptions) {
    const { maxLr, epochs, stepsPerEpoch, pctStart = 0.3, annealStrategy = 'cos', cycleMomentum = true } = options
    const {
      baseMomentum = 0.85,
      maxMomentum = 0.95,
      divFactor = 25,
      finalDivFactor = 1e4,
      threePhase = false,
    } = options
    const totalSteps = epochs && stepsPerEpoch ? epochs * stepsPerEpoch : (options.totalSteps ?? 0)
    if (!(totalSteps > 0)) throw new SptError('ERR_ARGUMENT', `totalSteps is ${totalSteps}, expected above 0`)
    if (pctStart < 0 || pctStart > 1) throw new SptError('ERR_ARGUMENT', `pctStart is ${pctStart}, expected 0 to 1`)
    const up = pctStart * totalSteps - 1
    const ends = threePhase ? [up, 2 * pctStart * totalSteps - 2, totalSteps - 1] : [up, totalSteps - 1]
    const anneal = annealStrategy === 'cos' ? cosineBetween : linearBetween

    /** The value at `step` of a quantity that has `stops[i]` at the start of phase i and `stops[i + 1]` at its end. */
    const along = (stops: number[], step: number): number => {
      if (step > totalSteps) {
        throw new SptError(
          'ERR_ARGUMENT',
          `step ${step} of a OneCycleLR with totalSteps ${totalSteps}: raise totalSteps`,
        )
      }
      let start = 0
      for (let phase = 0; ; phase += 1) {
        const end = ends[phase] ?? totalSteps - 1
        if (step <= end || phase === ends.length - 1) {
          // A rise of no steps is at its end.
          const share = end === start ? 1 : (step - start) / (end - start)
          return anneal(stops[phase] ?? 0, stops[phase + 1] ?? 0, share)
        }
        start = end
      }
    }

    optimizer.groups.forEach((group, index) => {
      group.lr = perGroup(maxLr, index) / divFactor
      group.initialLr = group.lr
    })
    const highest = (group: number) => perGroup(maxLr, group)
    super(optimizer, {
      next({ baseLr, step, group }) {
        const last = baseLr / finalDivFactor
        return along(threePhase ? [baseLr, highest(group), baseLr, last] : [baseLr, highest(group), last], step)
      },
      adjust(group, step, index) {
        if (!cycleMomentum) return
        const [low, high] = [perGroup(baseMomentum, index), perGroup(maxMomentum, index)]
        setMomentum(group, along(threePhase ? [high, low, high, high] : [high, low, high], step))
      },
    })
  }
}

export interface CyclicOptions {
  baseLr: number | number[]
  maxLr: number | number[]
  stepSizeUp?: number
  stepSizeDown?: number
  mode?: 'triangular' | 'triangular2' | 'exp_range'
  /** Constant of `exp_range`: the height is multiplied by gamma^step. */
  gamma?: number
  /** The height instead of `mode`: of the number of the cycle, from 1, or of the step, as `scaleMode` says. */
  scaleFn?: ((at: number) => number) | undefined
  scaleMode?: 'cycle' | 'iterations'
  cycleMomentum?: boolean
  baseMomentum?: number | number[]
  maxMomentum?: number | number[]
}

/** A triangle wave between two rates (Smith 2017, arXiv:1506.01186). */
export class CyclicLR extends LRScheduler {
  constructor(optimizer: ScheduledOptimizer, options: CyclicOptions) {
    const { stepSizeUp = 2000, mode = 'triangular', gamma = 1, cycleMomentum = true } = options
    const { scaleFn, scaleMode = 'cycle' } = options
    const { stepSizeDown = stepSizeUp, baseMomentum = 0.8, maxMomentum = 0.9 } = options
    const period = stepSizeUp + stepSizeDown
    const riseShare = stepSizeUp / period

    /** Height of the wave at `step`, in [0, 1]. */
    const height = (step: number): number => {
      const cycle = Math.floor(1 + step / period)
      const position = 1 + step / period - cycle
      const triangle = position <= riseShare ? position / riseShare : (position - 1) / (riseShare - 1)
      if (scaleFn) return triangle * scaleFn(scaleMode === 'cycle' ? cycle : step)
      if (mode === 'triangular2') return triangle / 2 ** (cycle - 1)
      return mode === 'exp_range' ? triangle * gamma ** step : triangle
    }

    optimizer.groups.forEach((group, index) => {
      group.lr = perGroup(options.baseLr, index)
      group.initialLr = group.lr
    })
    super(optimizer, {
      next: ({ baseLr, step, group }) => baseLr + (perGroup(options.maxLr, group) - baseLr) * height(step),
      adjust(group, step, index) {
        if (!cycleMomentum) return
        const [low, high] = [perGroup(baseMomentum, index), perGroup(maxMomentum, index)]
        setMomentum(group, high - (high - low) * height(step))
      },
    })
  }
}

function perGroup(value: number | number[], group: number): number {
  if (typeof value === 'number') return value
  const own = value[group]
  if (own === undefined) {
    throw new SptError('ERR_ARGUMENT', `${value.length} values were given, but the optimizer has a group ${group}`)
  }
  return own
}

function setMomentum(group: ParamGroup, momentum: number): void {
  if (Array.isArray(group.betas)) group.betas = [momentum, ...group.betas.slice(1)]
  else if (typeof group.momentum === 'number') group.momentum = momentum
  else {
    throw new SptError(
      'ERR_ARGUMENT',
      'cycleMomentum is on, but the optimizer has neither momentum nor betas: set cycleMomentum to false',
    )
  }
}

function cosineBetween(start: number, end: number, share: number): number {
  return end + ((start - end) / 2) * (1 + Math.cos(Math.PI * share))
}

function linearBetween(start: number, end: number, share: number): number {
  return start + (end - start) * share
}
