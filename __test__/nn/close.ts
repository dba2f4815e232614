/** Comparing a tensor with its reference in tests. */
import { expect } from 'vitest'
import type { Tensor } from '../../src/tensor/index.js'

export async function numbers(tensor: Tensor): Promise<number[]> {
  return Array.from((await tensor.data()) as Float32Array, Number)
}

/** The same shape, and no value further off than `tolerance` times (1 + the largest). */
export async function expectClose(actual: Tensor, expected: Tensor | undefined, tolerance = 2e-6): Promise<void> {
  expect(actual.shape).toEqual(expected?.shape)
  const [a, b] = [await numbers(actual), await numbers(expected as Tensor)]
  const worst = Math.max(0, ...b.map((value, index) => Math.abs((a[index] ?? NaN) - value)))
  expect(worst).toBeLessThanOrEqual(tolerance * (1 + Math.max(0, ...b.map(Math.abs))))
}
