/** Schedules of single values: weight decay, the teacher's momentum, the teacher's temperature. No learning rates. */
import { SptError } from '../errors.js'

export type WeightDecaySchedule = 'cosine' | 'constant' | 'linear' | 'exponential'

/**
 * The weight decay at `step`: from `start` to `end` in `totalSteps`. Past the end all but the exponential one stay.
 *
 * @throws ERR_ARGUMENT for an exponential schedule to or from 0.
 */
export function weightDecayAt(
  step: number,
  options: { schedule: WeightDecaySchedule; start: number; end: number; totalSteps: number },
): number {
  const { schedule, start, end, totalSteps } = options
  const progress = Math.min(step, totalSteps) / totalSteps
  switch (schedule) {
    case 'constant':
      return start
    case 'cosine':
      return end + ((start - end) / 2) * (1 + Math.cos(Math.PI * progress))
    case 'linear':
      return start + (end - start) * progress
    case 'exponential':
      if (!(start > 0 && end > 0)) {
        throw new SptError('ERR_ARGUMENT', `an exponential schedule from ${start} to ${end}: both must be above 0`)
      }
      return start * (end / start) ** (step / totalSteps)
  }
}

/** The teacher's momentum at an epoch: a half cosine from `base` to `final` (Grill et al. 2020, BYOL, §3.3). */
export function emaCoefficientAt(epoch: number, options: { base: number; final: number; totalEpochs: number }): number {
  const { base, final, totalEpochs } = options
  return final - ((final - base) / 2) * (Math.cos((Math.PI * epoch) / totalEpochs) + 1)
}

/** The teacher's temperature at an epoch: linear from `warmup` to `final` in `warmupEpochs` (Caron et al. 2021, DINO). */
export function teacherTemperatureAt(
  epoch: number,
  options: { warmup: number; final: number; warmupEpochs: number },
): number {
  const { warmup, final, warmupEpochs } = options
  return epoch >= warmupEpochs ? final : warmup + ((final - warmup) * epoch) / warmupEpochs
}
