/** Compares a tensor with its reference: |a − b| ≤ atol + rtol·|b| everywhere, integers exactly. */
import type { Tensor } from '../../src/tensor/index.js'

export interface Tolerance {
  atol: number
  rtol: number
  /** Grey levels by which uint8 images may differ. */
  levels: number
  /** Whether only the number of elements has to agree, not the shape. */
  flat?: boolean
}

export interface Comparison {
  /** The largest error divided by its tolerance; at most 1 passes. */
  ratio: number
  /** The 2-norm of all errors over that of the reference. */
  apart: number
  text: string
}

export async function compare(actual: Tensor, expected: Tensor, tolerance: Tolerance): Promise<Comparison> {
  const sameShape = actual.shape.join() === expected.shape.join()
  if (!sameShape && !(tolerance.flat && actual.numel === expected.numel)) {
    return {
      ratio: Infinity,
      apart: Infinity,
      text: `shape [${actual.shape.join(', ')}], expected [${expected.shape.join(', ')}]`,
    }
  }
  const [a, b] = [await actual.data(), await expected.data()]
  const exact = expected.dtype === 'int64' || expected.dtype === 'uint8' || expected.dtype === 'bool'
  const whole = { atol: tolerance.levels, rtol: 0 }
  const { atol, rtol } = exact ? whole : tolerance
  let worst = { ratio: 0, index: -1, error: 0, limit: atol }
  let [errors, size] = [0, 0]
  for (let index = 0; index < b.length; index += 1) {
    const [value, target] = [Number(a[index]), Number(b[index])]
    size += target ** 2
    if (Object.is(value, target) || (value === target && Number.isFinite(value))) continue
    const error = Math.abs(value - target)
    errors += error ** 2
    const limit = atol + rtol * Math.abs(target)
    // NaN, and an infinity where another number is expected, are beyond any tolerance.
    const ratio = !Number.isFinite(error) || limit === 0 ? Infinity : error / limit
    if (ratio > worst.ratio) worst = { ratio, index, error, limit }
  }
  const { ratio, index, error, limit } = worst
  if (index < 0) return { ratio: 0, apart: 0, text: 'equal' }
  const place = `at ${index} of [${expected.shape.join(', ')}] (got ${Number(a[index])}, expected ${Number(b[index])})`
  const apart = Number.isNaN(errors) ? Infinity : Math.sqrt(errors / size)
  return { ratio, apart, text: `error ${error.toExponential(2)} against ${limit.toExponential(2)} ${place}` }
}
