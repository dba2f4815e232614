/** Random tensors: means and variances of 20 000 draws within five standard errors, the same numbers for the same seed. */
import { describe, expect, it } from 'vitest'
import { bernoulli, beta, exponential, gamma, Generator, multinomial, normal, uniform } from '../../src/tensor/index.js'
import { type RandomCreationOptions, type Tensor, tensor } from '../../src/tensor/index.js'

const count = 20_000
type Draw = (shape: number[], options: RandomCreationOptions) => Tensor

describe.each<[string, Draw, number, number]>([
  ['uniform', (s, o) => uniform(-1, 3, s, o), 1, 16 / 12],
  ['normal', (s, o) => normal(2, 0.5, s, o), 2, 0.25],
  ['bernoulli', (s, o) => bernoulli(0.3, s, o), 0.3, 0.21],
  ['exponential', (s, o) => exponential(2, s, o), 0.5, 0.25],
  ['gamma 0.5', (s, o) => gamma(0.5, s, o), 0.5, 0.5],
  ['gamma 4', (s, o) => gamma(4, s, o), 4, 4],
  ['beta', (s, o) => beta(2, 3, s, o), 0.4, 0.04],
  ['beta 0.2', (s, o) => beta(0.2, 0.2, s, o), 0.5, 0.25 / 1.4],
])('%s', (_, draw, mean, variance) => {
  it('has its mean and its variance', async () => {
    const x = draw([count], { generator: new Generator(7), dtype: 'float64' })
    expect(Math.abs((await x.mean().item()) - mean)).toBeLessThan(5 * Math.sqrt(variance / count))
    // The fourth moment of the widest of these is below ten squared variances.
    expect(Math.abs((await x.var().item()) - variance)).toBeLessThan(5 * variance * Math.sqrt(9 / count))
  })

  it('comes again from the same seed, in the type asked for, as a leaf', async () => {
    const make = () => draw([2, 3], { generator: new Generator(3), dtype: 'float64', requiresGrad: true })
    const [a, b] = [make(), make()]
    expect(await a.data()).toEqual(await b.data())
    expect([a.dtype, a.shape, a.isLeaf, a.requiresGrad]).toEqual(['float64', [2, 3], true, true])
  })
})

it('tensors for parameters are broadcast', async () => {
  const p = tensor([0, 1])
  expect(await bernoulli(p).data()).toEqual(Float32Array.of(0, 1))
  expect(bernoulli(p, [3, 2]).shape).toEqual([3, 2])
  expect(await normal(tensor([5, -5]), 0, [2]).data()).toEqual(Float32Array.of(5, -5))
})

describe('multinomial', () => {
  it('follows the weights', async () => {
    const drawn = multinomial(tensor([0, 1, 3]), count, { replacement: true, generator: new Generator(2) })
    const shares = Array.from(await drawn.bincount(null, 3).data(), Number).map((v) => v / count)
    expect(shares[0]).toBe(0)
    expect(Math.abs((shares[1] ?? 0) - 0.25)).toBeLessThan(5 * Math.sqrt(0.1875 / count))
  })

  it('draws none twice without replacement, and refuses weights that are none', async () => {
    const weights = tensor([
      [1, 0, 2, 5],
      [1, 1, 1, 0],
    ])
    const [first, second] = await Promise.all(
      multinomial(weights, 3)
        .unbind()
        .map((row) => row.sort()[0].data()),
    )
    expect([first, second]).toEqual([BigInt64Array.of(0n, 2n, 3n), BigInt64Array.of(0n, 1n, 2n)])
    expect(() => multinomial(weights, 4)).toThrow('3 weights above 0')
    expect(() => multinomial(tensor([1, -1]), 1)).toThrow('-1')
  })
})

it('parameters out of range are refused', () => {
  expect(() => uniform(2, 1, [1])).toThrow('uniform')
  expect(() => normal(0, -1, [1])).toThrow('std')
  expect(() => bernoulli(1.5)).toThrow('probability')
  expect(() => exponential(0, [1])).toThrow('rate')
  expect(() => gamma(-1, [1])).toThrow('gamma')
  expect(() => beta(1, NaN, [1])).toThrow('beta')
})
