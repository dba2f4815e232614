/** The options of a trainer: their meaning, defaults and ranges. */
import { type BatchSource, DataLoader } from '../data/index.js'
import { argumentInvalid, SptError } from '../errors.js'
import type { DeviceName } from '../tensor/index.js'
import type { Callback, Logger } from './callback.js'

export type Precision = '32-true' | 'bf16-mixed' | '16-mixed'

export interface TrainerOptions {
  /** Default 1, or no limit where `maxSteps` is given. */
  maxEpochs?: number
  /** Optimizer steps; default no limit. */
  maxSteps?: number
  /** What computes: "cpu", "gpu", "gpu:1" or "gpu:<part of its name>". "auto" (default) is the CPU. */
  device?: DeviceName | 'auto'
  /**
   * `bf16-mixed`: float32 weights, products of matrices and convolutions in bfloat16 (see `autocast`); float32 and one
   * logged line where the processor has no such products. `16-mixed`: the same in float16 on a GPU, with the loss scaled (see
   * `GradScaler`): a step whose gradients are not finite is left out.
   */
  precision?: Precision
  callbacks?: Callback[]
  logger?: Logger | Logger[] | false
  /** Validate after every so many epochs, and always after the last. */
  checkValEveryNEpoch?: number
  /** A count of batches, or below 1 a share of them. */
  limitTrainBatches?: number
  /** As `limitTrainBatches`; 0 skips validation. */
  limitValBatches?: number
  /** Validation batches tried before training, so that a mistake there shows at once. */
  numSanityValSteps?: number
  /** Steps between two rows of step values, and between two reads from the device. */
  logEveryNSteps?: number
  /** Batches whose gradients are averaged into one step. */
  accumulateGradBatches?: number
  gradientClipVal?: number
  gradientClipAlgorithm?: 'norm' | 'value'
  /** Ends the run with the name of the first parameter whose gradient is not finite; reads one number a step. */
  detectAnomaly?: boolean
  /** Logs `grad_norm/<optimizer>`, before clipping; reads one number a step. */
  logGradNorm?: boolean
  /** A checkpoint every so many steps, besides the one at the end of every epoch; 0: none. */
  checkpointEveryNSteps?: number
}

const DEFAULTS = {
  device: 'auto' as DeviceName | 'auto',
  maxSteps: Infinity,
  precision: '32-true' as Precision,
  checkValEveryNEpoch: 1,
  limitTrainBatches: Infinity,
  limitValBatches: Infinity,
  numSanityValSteps: 2,
  logEveryNSteps: 10,
  accumulateGradBatches: 1,
  checkpointEveryNSteps: 0,
  detectAnomaly: false,
  logGradNorm: false,
}

export type ResolvedOptions = typeof DEFAULTS &
  Pick<TrainerOptions, 'gradientClipVal' | 'gradientClipAlgorithm'> & { maxEpochs: number }

/** Fills in defaults and checks ranges. @throws ERR_ARGUMENT naming the option. */
export function resolveOptions(given: TrainerOptions): ResolvedOptions {
  // -1 is Lightning's "no limit".
  const bound = (value: number | undefined) => (value === undefined || value === -1 ? undefined : value)
  const maxSteps = bound(given.maxSteps) ?? Infinity
  const maxEpochs = bound(given.maxEpochs) ?? (maxSteps === Infinity && given.maxEpochs !== -1 ? 1 : Infinity)
  const { callbacks: _callbacks, logger: _logger, ...rest } = given
  const options = { ...DEFAULTS, ...rest, maxSteps, maxEpochs }
  if (!PRECISIONS.includes(options.precision)) {
    throw argumentInvalid('Trainer: precision', PRECISIONS.join(', '), options.precision)
  }
  for (const [name, least] of Object.entries(LEAST)) {
    const value = options[name as keyof typeof LEAST]
    if (!(value === Infinity || Number.isInteger(value)) || value < least) {
      throw argumentInvalid(`Trainer: ${name}`, `an integer of at least ${least}`, value)
    }
  }
  for (const name of ['limitTrainBatches', 'limitValBatches'] as const) {
    const value = options[name]
    if (!(value >= 0)) throw argumentInvalid(`Trainer: ${name}`, 'a count, or a share below 1', value)
  }
  const { gradientClipVal } = options
  if (gradientClipVal !== undefined && !(gradientClipVal > 0)) {
    throw argumentInvalid('Trainer: gradientClipVal', 'a positive number', gradientClipVal)
  }
  return options
}

const PRECISIONS: readonly Precision[] = ['32-true', 'bf16-mixed', '16-mixed']

const LEAST = {
  maxEpochs: 0,
  maxSteps: 0,
  checkValEveryNEpoch: 1,
  numSanityValSteps: 0,
  logEveryNSteps: 1,
  accumulateGradBatches: 1,
  checkpointEveryNSteps: 0,
} as const

/** How many of `batches` a limit leaves: a count, or a share below 1. */
export function limitBatches(batches: number, limit: number): number {
  return limit < 1 ? Math.floor(batches * limit) : Math.min(batches, Math.floor(limit))
}

/** Why a run has nothing to train on. */
export function noBatches(train: BatchSource, limit: number): SptError {
  if (train.length > 0 || !(train instanceof DataLoader)) {
    return new SptError('ERR_DATA', `limit_train_batches ${limit} of ${train.length} training batches leaves none`)
  }
  const { batchSize, dataset } = train
  return new SptError(
    'ERR_DATA',
    `${dataset.name}: ${dataset.length} images make no batch of ${batchSize}, and a smaller last one is left out`,
    { hint: 'Lower batch_size, or set drop_last: false.' },
  )
}
