/** What the samples of a batch say besides their images, as tensors: labels, indices and whatever else a data set gives. */
import { SptError, show } from '../errors.js'
import { Tensor, tensor } from '../tensor/index.js'
import type { Sample } from './sample.js'

/**
 * label and index become int64 [batch]; other numbers float32 [batch], bigints int64 [batch]. Arrays of either, however deep, and
 * typed arrays (but of bytes) become tensors [batch, …] where all samples of the batch have the same sizes. Anything else is an
 * array. ERR_DATA where some samples have a key that others lack.
 */
export function collate(samples: readonly Sample[]): Record<string, unknown> & { index: Tensor; label?: Tensor } {
  const keys = new Set(samples.flatMap((sample) => Object.keys(sample)))
  keys.delete('image')
  // All is checked before a tensor is made, so that a failure leaves none behind.
  for (const sample of samples) for (const key of keys) checkValue(sample, key)
  const columns = [...keys].map((key) => [key, column(key, samples)] as const)
  return Object.fromEntries(columns) as ReturnType<typeof collate>
}

function checkValue(sample: Sample, key: string): void {
  const value = sample[key]
  if (value === undefined) {
    throw new SptError('ERR_DATA', `sample ${sample.index} has no "${key}", others of its batch have one`)
  }
  if (wholeNumbers.has(key) && !Number.isSafeInteger(value)) {
    throw new SptError('ERR_DATA', `sample ${sample.index}: expected a whole number as ${key}, found ${show(value)}`)
  }
}

const wholeNumbers = new Set(['label', 'index'])

function column(key: string, samples: readonly Sample[]): unknown {
  const values = samples.map((sample) => sample[key])
  if (wholeNumbers.has(key)) return kept(BigInt64Array.from(values as number[], BigInt))
  if (values.every((value) => typeof value === 'number')) return kept(Float32Array.from(values))
  if (values.every((value) => typeof value === 'bigint')) return kept(BigInt64Array.from(values))
  return lists(values) ?? values
}

/** Nested arrays of equal sizes as one tensor; undefined where they differ, are empty, or hold anything but numbers of one kind. */
function lists(values: readonly unknown[]): Tensor | undefined {
  const shape = [values.length]
  // Bytes are files more often than numbers.
  const numeric = (value: unknown) =>
    ArrayBuffer.isView(value) && !(value instanceof Uint8Array || value instanceof DataView)
  let level: readonly unknown[] = values.map((value) => (numeric(value) ? Array.from(value as Float32Array) : value))
  for (let first = level[0]; Array.isArray(first); first = level[0]) {
    const { length } = first
    if (!level.every((value) => Array.isArray(value) && value.length === length)) return undefined
    shape.push(length)
    level = level.flat()
  }
  if (shape.length === 1 || level.length === 0) return undefined
  if (level.every((value) => typeof value === 'number')) return kept(Float32Array.from(level), shape)
  if (level.every((value) => typeof value === 'bigint')) return kept(BigInt64Array.from(level), shape)
  return undefined
}

// A batch is made while the trainer may be inside a scope that it does not belong to, and its device the default.
const kept = (values: Float32Array | BigInt64Array, shape = [values.length]) =>
  tensor(values, { shape, device: 'cpu' }).keep()

/** Frees the tensors of a batch, however deep; the trainer does it after each step. */
export function disposeBatch(batch: unknown): void {
  if (batch instanceof Tensor) batch.dispose()
  else if (Array.isArray(batch)) batch.forEach(disposeBatch)
  else if (typeof batch === 'object' && batch !== null && Object.getPrototypeOf(batch) === Object.prototype) {
    Object.values(batch).forEach(disposeBatch)
  }
}
