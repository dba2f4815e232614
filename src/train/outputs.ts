/** Reading what a forward returned and what a batch holds: the loss, scalars to log, rows for queues. */
import type { Batch } from '../data/index.js'
import { SptError } from '../errors.js'
import { Tensor } from '../tensor/index.js'
import type { Outputs } from './callback.js'

/** What is minimised. @throws ERR_ARGUMENT when there is none, ERR_SHAPE when it is not one number. */
export function lossOf(outputs: Outputs): Tensor {
  const { loss } = outputs
  if (!(loss instanceof Tensor)) {
    throw new SptError(
      'ERR_ARGUMENT',
      `forward returned no loss in the stage "fit", only: ${Object.keys(outputs).join(', ') || 'nothing'}`,
      {
        hint: 'Return { loss, … }; or give the module `optim: null` to train callbacks only.',
      },
    )
  }
  if (loss.numel !== 1) {
    throw new SptError('ERR_SHAPE', `the loss has shape [${loss.shape.join(', ')}], expected one number`, {
      hint: 'Average it: loss.mean().',
    })
  }
  return loss
}

/** Everything returned that is one number: logged without being asked for. */
export function scalarsOf(outputs: Outputs): Array<[string, number | Tensor]> {
  return Object.entries(outputs).filter(
    (entry): entry is [string, number | Tensor] =>
      typeof entry[1] === 'number' || (entry[1] instanceof Tensor && entry[1].ndim === 0),
  )
}

/** A value by name: of the outputs, else of the batch. @throws ERR_ARGUMENT listing the names there are. */
export function valueOf(key: string, outputs: Outputs, batch: Batch, asker: string): Tensor {
  const value = outputs[key] ?? batch[key]
  if (value instanceof Tensor) return value
  throw new SptError('ERR_ARGUMENT', `${asker}: neither the outputs nor the batch hold a tensor "${key}"`, {
    hint: `Outputs: ${Object.keys(outputs).join(', ')}. Batch: ${Object.keys(batch).join(', ')}.`,
  })
}

/** Images in a batch, one view each. */
export function imageCount(batch: Batch): number {
  return batch.index.shape[0] ?? 0
}
