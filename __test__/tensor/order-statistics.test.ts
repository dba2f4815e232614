/** Medians, quantiles and histograms against torch's values. */
import { describe, expect, it } from 'vitest'
import { type Tensor, tensor, zeros } from '../../src/tensor/index.js'

const numbers = async (x: Tensor) => Array.from(await x.data(), Number)
const x = () =>
  tensor([
    [3, -1, 2.5, 7, 0],
    [1, 4, 6, 2, 8],
    [5, 5.5, 1, -2, 0.5],
  ])
const withNaN = () =>
  tensor([
    [3, -1, 2.5, 7, 0],
    [1, 4, NaN, 2, 8],
    [5, 5, 1, -2, 0.5],
  ])

describe('median', () => {
  it('is the lower middle element, with its index, and NaN where there is one', async () => {
    const [values, indices] = withNaN().median(1)
    expect(await numbers(values)).toEqual([2.5, NaN, 1])
    expect(await numbers(indices)).toEqual([2, 2, 2])
    expect(values.shape).toEqual([3])
    expect(withNaN().median(0, true)[0].shape).toEqual([1, 5])
    expect(await x().median().item()).toBe(2.5)
    expect(await tensor([4, 1, 3, 2]).median().item()).toBe(2)
    expect(await withNaN().median().item()).toBeNaN()
    expect(await numbers(tensor([[5n, 1n, 3n]]).median(1)[0])).toEqual([3])
  })

  it('refuses nothing', () => {
    expect(() => zeros([2, 0]).median(1)).toThrow('[2,0]')
  })
})

describe('quantile', () => {
  it('interpolates linearly', async () => {
    const found = x().quantile([0, 0.3, 0.5, 1], 1)
    expect(found.shape).toEqual([4, 3])
    const expected = [-1, 1, -2, 0.5, 2.4, 0.6, 2.5, 4, 1, 7, 8, 5.5]
    ;(await numbers(found)).forEach((value, k) => expect(value).toBeCloseTo(expected[k] ?? NaN, 5))
    expect(await x().quantile(0.3).item()).toBe(1)
    expect(x().quantile(0.3, undefined, true).shape).toEqual([1, 1])
    const nan = await numbers(withNaN().quantile(0.3, 1, true))
    expect([nan[0], nan[1]]).toEqual([expect.closeTo(0.5, 5), NaN])
  })

  it.for([
    ['linear', [1.25, 3, 0.75]],
    ['lower', [0, 2, 0.5]],
    ['higher', [2.5, 4, 1]],
    ['nearest', [2.5, 4, 1]],
    ['midpoint', [1.25, 3, 0.75]],
  ] as const)('knows %s', async ([interpolation, expected]) => {
    expect(await numbers(x().quantile(0.375, 1, false, interpolation))).toEqual([...expected])
  })

  it('sends gradients to the elements around it', async () => {
    const leaf = x()
    leaf.requiresGrad = true
    leaf.quantile(0.3, 1).sum().backward()
    const expected = [0, 0, 0.2, 0, 0.8, 0, 0.2, 0, 0.8, 0, 0, 0, 0.2, 0, 0.8]
    ;(await numbers(leaf.grad as Tensor)).forEach((value, k) => expect(value).toBeCloseTo(expected[k] ?? NaN, 5))
  })

  it('refuses what is no share', () => {
    expect(() => x().quantile(1.5)).toThrow('share')
    expect(() => x().quantile(NaN)).toThrow('share')
  })
})

describe('histc', () => {
  it('counts in parts of equal width', async () => {
    expect(await numbers(x().histc(5))).toEqual([2, 4, 3, 3, 3])
    expect(await numbers(x().histc(4, -2, 6))).toEqual([2, 4, 3, 4])
    expect(await numbers(tensor([2, 2, 2]).histc(4))).toEqual([0, 0, 3, 0])
    expect(await numbers(tensor([1, NaN, 3]).histc(2, 0, 4))).toEqual([1, 1])
    expect(await numbers(zeros([0]).histc(3))).toEqual([0, 0, 0])
  })

  it('refuses parts and ranges that are none', () => {
    expect(() => x().histc(0)).toThrow('bins')
    expect(() => x().histc(3, 2, 1)).toThrow('range')
  })
})
