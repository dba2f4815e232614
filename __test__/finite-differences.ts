/** Gradients by autograd against central differences in float64. */
import { expect } from 'vitest'
import { noGrad, scope, tensor, type Tensor } from '../src/tensor/index.js'

/**
 * Expects d loss / d input of every input to be (loss(x + h) − loss(x − h)) / 2h, element by element.
 *
 * `loss` gets float64 tensors of those shapes and gives a scalar; it must be the same function each time it is called, so
 * state is made inside it. Kinks and detached parts that depend on the inputs have no such difference.
 */
export async function expectGradients(
  loss: (...inputs: Tensor[]) => Tensor,
  inputs: readonly { values: readonly number[]; shape: readonly number[] }[],
  { step = 1e-5, tolerance = 1e-6 } = {},
): Promise<void> {
  const make = (changed?: { input: number; element: number; by: number }): Tensor[] =>
    inputs.map(({ values, shape }, index) => {
      const copy = Float64Array.from(values)
      if (changed?.input === index) copy[changed.element]! += changed.by
      return tensor(copy, { shape })
    })
  const value = (input: number, element: number, by: number): Promise<number> =>
    scope(() => noGrad(() => loss(...make({ input, element, by }))).item())

  const gradients = await scope(async () => {
    const leaves = make()
    for (const leaf of leaves) leaf.requiresGrad = true
    const result = loss(...leaves)
    expect(result.numel).toBe(1)
    result.backward()
    return Promise.all(
      leaves.map(async (leaf) => Array.from((await (leaf.grad ?? leaf.zerosLike()).data()) as Float64Array)),
    )
  })
  for (const [input, gradient] of gradients.entries()) {
    const numeric: number[] = []
    for (const element of gradient.keys()) {
      numeric.push(((await value(input, element, step)) - (await value(input, element, -step))) / (2 * step))
    }
    const size = Math.max(1, ...numeric.map(Math.abs))
    const worst = Math.max(...gradient.map((one, element) => Math.abs(one - numeric[element]!) / size))
    expect({ input, gradient, numeric, worst: worst <= tolerance }).toMatchObject({ worst: true })
  }
}

/** Something to differentiate at: normal numbers of that shape. */
export function point(random: () => number, ...shape: number[]): { values: number[]; shape: number[] } {
  const count = shape.reduce((a, b) => a * b, 1)
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return { values: Array.from({ length: count }, normal), shape }
}
