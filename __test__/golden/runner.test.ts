/** The runner of reference vectors itself: it must notice what is wrong, or its passes mean nothing. */
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type Case, readPack } from '../../scripts/golden/cases.js'
import { compare } from '../../scripts/golden/compare.js'
import { runCase } from '../../scripts/golden/run.js'
import { camelCase } from '../../scripts/golden/table.js'
import { scope, tensor, type Tensor } from '../../src/tensor/index.js'

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

describe('a network in training', () => {
  const folder = new URL('../fixtures/golden/models.br', import.meta.url)
  const network = () => {
    const found = readPack(fileURLToPath(folder)).find(({ name }) => name === 'resnet9_train')
    if (!found) throw new Error('the pack of models has no resnet9_train')
    return found
  }

  it('passes in float64 where only a gradient of float32 misses its tolerance, and says what float32 gave', async () => {
    const given = network()
    const gradient = given.grads.find((name) => name.endsWith('weight')) as string
    given.rtols[gradient] = 1e-7
    given.atols[gradient] = 1e-9 * (await (given.tensors.get(gradient) as Tensor).abs().amax().item())
    const result = await scope(() => runCase(given))
    expect(result).toMatchObject({ status: 'passed' })
    expect(result.float32).toContain(gradient)
  })

  it('fails on a wrong gradient, which float64 repeats', async () => {
    const given = network()
    const gradient = given.grads.find((name) => name.endsWith('weight')) as string
    given.tensors.set(gradient, (given.tensors.get(gradient) as Tensor).add(100))
    expect(await scope(() => runCase(given))).toMatchObject({ status: 'failed' })
  })

  it('fails on a wrong output without asking float64', async () => {
    const given = network()
    given.tensors.set('out', (given.tensors.get('out') as Tensor).add(1e-2))
    const result = await scope(() => runCase(given))
    expect(result).toMatchObject({ status: 'failed' })
    expect(result.detail).toMatch(/^out: /)
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
