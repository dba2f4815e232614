/** What the samples of a batch say besides their images, as tensors: labels, indices and whatever else a data set gives. */
import { SptError } from '../errors.js'
import { Tensor, tensor } from '../tensor/index.js'
import type { Sample } from './sample.js'

/**
 * label and index become int64 [batch]; other numbers float32 [batch], bigints int64 [batch], anything else an array.
 * ERR_DATA where some samples have a key that others lack.
 */
export function collate(samples: readonly Sample[]): Record<string, unknown> & { index: Tensor; label?: Tensor } {
  const keys = new Set(samples.flatMap((sample) => Object.keys(sample)))
  keys.delete('image')
  const entries = [...keys].map((key) => [key, column(key, samples)] as const)
  return Object.fromEntries(entries) as ReturnType<typeof collate>
}

function column(key: string, samples: readonly Sample[]): unknown {
  const values = samples.map((sample) => {
    const value = sample[key]
    if (value === undefined) {
      throw new SptError('ERR_DATA', `sample ${sample.index} has no "${key}", others of its batch have one`)
    }
    return value
  })
  if (key === 'label' || key === 'index') {
    const wrong = values.findIndex((value) => !Number.isInteger(value))
    if (wrong >= 0) {
      throw new SptError(
        'ERR_DATA',
        `sample ${samples[wrong]?.index}: expected a whole number as ${key}, found ${String(values[wrong])}`,
      )
    }
    return tensor(BigInt64Array.from(values as number[], BigInt)).keep()
  }
  if (values.every((value) => typeof value === 'number')) return tensor(Float32Array.from(values)).keep()
  if (values.every((value) => typeof value === 'bigint')) return tensor(BigInt64Array.from(values)).keep()
  return values
}

/** Frees the tensors of a batch, however deep; the trainer does it after each step. */
export function disposeBatch(batch: unknown): void {
  if (batch instanceof Tensor) batch.dispose()
  else if (Array.isArray(batch)) batch.forEach(disposeBatch)
  else if (typeof batch === 'object' && batch !== null && Object.getPrototypeOf(batch) === Object.prototype) {
    Object.values(batch).forEach(disposeBatch)
  }
}
