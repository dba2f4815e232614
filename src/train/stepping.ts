/** After the backward pass of a batch: whichever optimizers are due step. It builds none; see `optimization`. */
import { nonFinite, SptError } from '../errors.js'
import { clipGradValue, gradientNorm, limitGradNorm, scaleGradients } from '../tensor/index.js'
import type { GradScaler } from '../optim/index.js'
import type { OptimizerEntry } from './optimization.js'

/** What is looked at on the way; each costs one reading of the gradients' norm. */
export interface StepOptions {
  /** Takes back what it multiplied the loss by; an optimizer whose gradients are not finite does not step. */
  readonly scaler?: GradScaler | undefined
  /** A gradient that is not finite is an error that names its parameter. */
  readonly detectAnomaly?: boolean | undefined
  /** Told the norm of an optimizer's gradients, before they are clipped. */
  readonly onGradNorm?: ((name: string, norm: number) => void) | undefined
}

/**
 * Averages over the window, clips, steps, moves the schedule and drops the gradients of every optimizer that is due: at
 * the end of its window of `frequency` batches, the last of which may be shorter at the end of an epoch.
 *
 * A schedule moves, and a step counts, even where the scaler leaves the step itself out, as in Lightning.
 *
 * @returns the optimizers that were due.
 * @throws ERR_NONFINITE with `detectAnomaly`, before anything has changed.
 */
export function stepOptimizers(
  entries: readonly OptimizerEntry[],
  batchIdx: number,
  lastBatch: boolean,
  options: StepOptions = {},
): OptimizerEntry[] {
  const due = entries.filter(({ frequency }) => lastBatch || (batchIdx + 1) % frequency === 0)
  for (const entry of due) prepare(entry, (batchIdx % entry.frequency) + 1, options)
  for (const { optimizer, scheduler } of due) {
    if (options.scaler) options.scaler.step(optimizer)
    else optimizer.step()
    if (scheduler?.watchesMetric !== true) scheduler?.step()
    optimizer.zeroGrad()
  }
  // In the middle of a window other gradients are still scaled as before.
  if (due.length === entries.length) options.scaler?.update()
  return due
}

/** At the end of an epoch: schedules that watch a metric move by its newest value. @throws ERR_ARGUMENT without one. */
export function stepMonitored(entries: readonly OptimizerEntry[], latest: ReadonlyMap<string, number>): void {
  for (const { name, scheduler, monitor = 'val_loss' } of entries) {
    if (scheduler?.watchesMetric !== true) continue
    // stable-pretraining's default name, for the validation loss as it is called here.
    const value = latest.get(monitor) ?? (monitor === 'val_loss' ? latest.get('validate/loss') : undefined)
    if (value === undefined) {
      throw new SptError(
        'ERR_ARGUMENT',
        `optimizer "${name}": its scheduler watches "${monitor}", which nobody logged`,
        {
          hint: `Set its monitor to one of: ${[...latest.keys()].join(', ')}.`,
        },
      )
    }
    scheduler.step(value)
  }
}

/** Brings the gradients of one optimizer into the form in which it uses them. */
function prepare(entry: OptimizerEntry, window: number, options: StepOptions): void {
  const { detectAnomaly, onGradNorm, scaler } = options
  const { name, optimizer, gradientClipVal, gradientClipAlgorithm = 'norm' } = entry
  const params = optimizer.groups.flatMap((group) => group.params)
  let norm: number | undefined
  if (scaler) norm = scaler.unscale(optimizer, window)
  else if (window > 1) scaleGradients(params, 1 / window)
  if (detectAnomaly || onGradNorm) {
    norm ??= gradientNorm(params)
    // A scale that is too large is the scaler's matter.
    if (detectAnomaly && !scaler && !Number.isFinite(norm)) throw notFinite(entry)
    onGradNorm?.(name, norm)
  }
  if (gradientClipVal === undefined || (norm !== undefined && !Number.isFinite(norm))) return
  if (gradientClipAlgorithm === 'norm') limitGradNorm(params, gradientClipVal)
  else clipGradValue(params, gradientClipVal)
}

function notFinite({ name, optimizer }: OptimizerEntry): SptError {
  const found = optimizer.groups.flatMap(({ params, names }) =>
    params.map((param, index) => ({
      norm: gradientNorm([param]),
      what: names?.[index] ?? `[${param.shape.join(', ')}]`,
    })),
  )
  const first = found.find(({ norm }) => !Number.isFinite(norm))
  return nonFinite(
    `the norm of the gradient of ${first?.what ?? 'a parameter'}`,
    first?.norm ?? NaN,
    `a step of optimizer "${name}"`,
    'Look for a division by 0, the logarithm of 0 or a square root at 0 on the way to it, or lower the learning rate.',
  )
}
