/** The runner of reference vectors itself: it must notice what is wrong, or its passes mean nothing. */
import { describe, expect, it } from 'vitest'
import type { Case } from '../../scripts/golden/cases.js'
import { compare } from '../../scripts/golden/compare.js'
import { runCase } from '../../scripts/golden/run.js'
import { camelCase } from '../../scripts/golden/table.js'
import { tensor } from '../../src/tensor/index.js'

const exact = { atol: 0.1, rtol: 0, levels: 0 }

function relu(out: number[], grad: number[]): Case {
  const tensors = new Map([
    ['x', tensor([-1, 2])],
    ['out', tensor(out)],
    ['cot.out', tensor([3, 5])],
    ['grad.x', tensor(grad)],
  ])
  return {
    group: 'ops',
    name: 'relu',
    op: 'relu',
    file: 'relu',
    attrs: {},
    inputs: ['x'],
    outputs: ['out'],
    grads: ['grad.x'],
    rtol: 0,
    atol: 1e-6,
    atols: {},
    rtols: {},
    tensors,
  }
}

describe('runCase', () => {
  it('passes a case whose values and gradients agree', async () => {
    expect(await runCase(relu([0, 2], [0, 5]))).toMatchObject({ status: 'passed' })
  })

  it.each([
    ['a wrong value', relu([0, 2.1], [0, 5]), 'out'],
    ['a wrong gradient', relu([0, 2], [0, 4]), 'grad.x'],
    ['a wrong shape', relu([0, 2, 0], [0, 5]), 'out'],
    ['NaN where a number is expected', relu([0, NaN], [0, 5]), 'out'],
  ])('fails on %s and names the tensor', async (_, given, name) => {
    const { status, detail } = await runCase(given)
    expect(status).toBe('failed')
    expect(detail).toMatch(new RegExp(`^${name}: `))
  })

  it('skips an operation that does not exist', async () => {
    expect(await runCase({ ...relu([0, 2], [0, 5]), op: 'fold' })).toMatchObject({ status: 'skipped' })
  })
})

describe('compare', () => {
  it('takes atol + rtol·|expected| as the limit', async () => {
    const close = await compare(tensor([1.15]), tensor([1]), { atol: 0.1, rtol: 0.1, levels: 0 })
    expect(close.ratio).toBeCloseTo(0.75, 4)
  })

  it('compares integers exactly and images within their grey levels', async () => {
    const [a, b] = [tensor([3], { dtype: 'uint8' }), tensor([4], { dtype: 'uint8' })]
    expect((await compare(a, b, exact)).ratio).toBe(Infinity)
    expect((await compare(a, b, { ...exact, levels: 1 })).ratio).toBe(1)
  })

  it('takes NaN as equal to NaN, infinity only to itself', async () => {
    expect((await compare(tensor([NaN, Infinity]), tensor([NaN, Infinity]), exact)).ratio).toBe(0)
    expect((await compare(tensor([-Infinity]), tensor([Infinity]), exact)).ratio).toBe(Infinity)
  })
})

describe('camelCase', () => {
  it.each([
    ['T_max', 'tMax'],
    ['exclude_bias_n_norm', 'excludeBiasNNorm'],
    ['lr', 'lr'],
  ])('%s → %s', (name, expected) => expect(camelCase(name)).toBe(expected))
})
