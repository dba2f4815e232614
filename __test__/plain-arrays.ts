/** What tests with plain loops share: numbers drawn by a seed as plain arrays, and tensors of them. */
import { tensor, type Tensor } from '../src/tensor/index.js'

/** Uniform numbers in [0, 1) from a seed (mulberry32): tests draw from no generator of the package. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const integer = (random: () => number, below: number): number => Math.floor(random() * below)

/** Roughly normal numbers, rounded to float32. */
export const normals = (random: () => number, count: number): number[] =>
  Array.from({ length: count }, () =>
    Math.fround(Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())),
  )

export const labels = (numbers: readonly number[], shape: readonly number[] = [numbers.length]): Tensor =>
  tensor(BigInt64Array.from(numbers, BigInt), { shape })

export const matrix = (values: readonly number[], shape: readonly number[]): Tensor =>
  tensor(Float32Array.from(values), { shape })

/** Rows of a flat row-major matrix. */
export const rowsOf = (values: readonly number[], columns: number): number[][] =>
  Array.from({ length: columns === 0 ? 0 : values.length / columns }, (_, row) =>
    values.slice(row * columns, (row + 1) * columns),
  )
