/** Start values: their distributions by bounds and moments, and those of every layer as PyTorch's. */
import { beforeEach, describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { empty, manualSeed, type Tensor } from '../../src/tensor/index.js'
import { numbers } from './close.js'

const { init } = nn
beforeEach(() => void manualSeed(7))

async function moments(tensor: Tensor): Promise<{ min: number; max: number; mean: number; std: number }> {
  const values = await numbers(tensor)
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { min: Math.min(...values), max: Math.max(...values), mean, std: Math.sqrt(variance) }
}

/** A uniform distribution in ±bound: nothing outside, both ends reached, deviation bound / √3. */
async function expectUniform(tensor: Tensor, bound: number): Promise<void> {
  const { min, max, std } = await moments(tensor)
  const slack = Math.min(0.3, 20 / tensor.numel)
  expect(max).toBeLessThanOrEqual(bound * 1.000001)
  expect(min).toBeGreaterThanOrEqual(-bound * 1.000001)
  expect(max).toBeGreaterThan(bound * (1 - slack))
  expect(min).toBeLessThan(-bound * (1 - slack))
  expect(std / bound).toBeCloseTo(1 / Math.sqrt(3), tensor.numel > 1000 ? 1 : 0)
}

async function expectNormal(tensor: Tensor, std: number, mean = 0): Promise<void> {
  const found = await moments(tensor)
  expect(found.std / std).toBeGreaterThan(0.95)
  expect(found.std / std).toBeLessThan(1.05)
  expect(Math.abs(found.mean - mean)).toBeLessThan((4 * std) / Math.sqrt(tensor.numel))
  // 5000 normal numbers leave three deviations; a uniform distribution of this deviation would not.
  expect(Math.max(found.max - mean, mean - found.min)).toBeGreaterThan(2.7 * std)
}

describe('distributions', () => {
  const weight = () => empty([60, 10, 3, 3]) // fan in 90, fan out 540
  test('uniform_, normal_, constants', async () => {
    const { min, max } = await moments(init.uniform_(weight(), 2, 3))
    expect([min >= 2, min < 2.01, max < 3, max > 2.99]).toEqual([true, true, true, true])
    await expectNormal(init.normal_(weight(), 1, 0.5), 0.5, 1)
    expect(await moments(init.constant_(weight(), 0.25))).toMatchObject({ min: 0.25, max: 0.25 })
    expect(await moments(init.ones_(weight()))).toMatchObject({ min: 1, max: 1 })
    expect(await moments(init.zeros_(weight()))).toMatchObject({ min: 0, max: 0 })
  })

  test('xavier_: variance 2·gain² / (fan in + fan out)', async () => {
    await expectUniform(init.xavierUniform_(weight(), 2), 2 * Math.sqrt(6 / 630))
    await expectNormal(init.xavierNormal_(weight(), 2), 2 * Math.sqrt(2 / 630))
  })

  test('kaiming_: variance gain² / fan', async () => {
    await expectUniform(init.kaimingUniform_(weight(), { a: 1 }), Math.sqrt(3 / 90))
    await expectUniform(init.kaimingUniform_(weight(), { nonlinearity: 'relu', mode: 'fan_out' }), Math.sqrt(6 / 540))
    await expectNormal(init.kaimingNormal_(weight(), { nonlinearity: 'relu' }), Math.sqrt(2 / 90))
    await expectNormal(init.kaimingNormal_(weight(), { mode: 'fan_out', nonlinearity: 'tanh' }), 5 / 3 / Math.sqrt(540))
  })

  test('truncNormal_: cut, with the deviation that the cut leaves', async () => {
    const { min, max, std } = await moments(init.truncNormal_(weight()))
    expect([min >= -2, min < -1.95, max <= 2, max > 1.95]).toEqual([true, true, true, true])
    // √(1 − 2·2φ(2) / (Φ(2) − Φ(−2))), the deviation of a normal distribution cut at two deviations.
    expect(std).toBeGreaterThan(0.86)
    expect(std).toBeLessThan(0.9)
    await expectNormal(init.truncNormal_(weight(), { std: 0.02 }), 0.02)
    const tail = await moments(init.truncNormal_(weight(), { low: 1, high: 3 }))
    expect([tail.min >= 1, tail.max <= 3, tail.mean > 1.4, tail.mean < 1.6]).toEqual([true, true, true, true])
  })

  test('sparse_: the share of each column is zero, the rows differ', async () => {
    const values = await numbers(init.sparse_(empty([20, 30]), 0.33, 2))
    const zeros = Array.from({ length: 30 }, (_, column) =>
      Array.from({ length: 20 }, (_, row) => row).filter((row) => values[row * 30 + column] === 0),
    )
    expect(zeros.every((rows) => rows.length === 7)).toBe(true)
    expect(new Set(zeros.map((rows) => rows.join())).size).toBeGreaterThan(20)
  })

  test('eye_ and dirac_', async () => {
    expect([...(await init.eye_(empty([2, 3])).data())]).toEqual([1, 0, 0, 0, 1, 0])
    const convolution = new nn.Conv2d(4, 4, 3, { padding: 1, groups: 2, bias: false })
    init.dirac_(convolution.weight, 2)
    const x = init.normal_(empty([1, 4, 5, 6]))
    expect(await convolution.forward(x).data()).toEqual(await x.data())
    const wide = await numbers(init.dirac_(empty([3, 2, 4])))
    expect(wide.flatMap((value, index) => (value ? [index] : []))).toEqual([2, 8 + 4 + 2])
  })
})

describe('a new layer starts as in PyTorch', () => {
  test('Linear, Conv2d, Conv1d: weight and bias uniform in ±1/√fan_in', async () => {
    const linear = new nn.Linear(50, 100)
    const conv2d = new nn.Conv2d(8, 60, 5, { groups: 4 })
    const conv1d = new nn.Conv1d(12, 60, 5)
    for (const [layer, fanIn] of [
      [linear, 50],
      [conv2d, 50],
      [conv1d, 60],
    ] as const) {
      await expectUniform(layer.weight, 1 / Math.sqrt(fanIn))
      await expectUniform(layer.bias as Tensor, 1 / Math.sqrt(fanIn))
    }
  })

  test('ConvTranspose2d: PyTorch takes the fan of axis 1', async () => {
    const layer = new nn.ConvTranspose2d(60, 8, 5)
    await expectUniform(layer.weight, 1 / Math.sqrt(8 * 25))
  })

  test('Embedding: standard normal', async () => {
    await expectNormal(new nn.Embedding(100, 50).weight, 1)
  })

  test.each([
    ['BatchNorm2d', () => new nn.BatchNorm2d(4)],
    ['InstanceNorm2d', () => new nn.InstanceNorm2d(4, { affine: true, trackRunningStats: true })],
    ['GroupNorm', () => new nn.GroupNorm(2, 4)],
    ['LayerNorm', () => new nn.LayerNorm(4)],
    ['RMSNorm', () => new nn.RMSNorm(4)],
    ['PReLU', () => new nn.PReLU({ numParameters: 4 })],
  ])('%s: constants', async (name, make) => {
    const wanted: Record<string, number> = { weight: name === 'PReLU' ? 0.25 : 1, running_var: 1 }
    for (const [key, value] of make().stateDict()) {
      const { min, max } = await moments(value)
      expect([key, min, max]).toEqual([key, wanted[key] ?? 0, wanted[key] ?? 0])
    }
  })

  test('ResNet: convolutions normal by fan out; ConvNeXt: deviation 0.02, biases 0, scale 1e-6', async () => {
    await expectNormal(
      nn.resnet18({ lowResolution: true }).layer1.at(0).stateDict().get('conv1.weight') as Tensor,
      Math.sqrt(2 / 576),
    )
    const block = new nn.ConvNeXtBlock(32, 0, 1e-6)
    await expectNormal(block.mlp.fc1.weight, 0.02)
    expect(await moments(block.mlp.fc1.bias as Tensor)).toMatchObject({ min: 0, max: 0 })
    expect((await moments(block.gamma as Tensor)).max).toBeCloseTo(1e-6, 12)
  })
})

test('shapes that an initialiser cannot fill are named', () => {
  expect(() => init.eye_(empty([3]))).toThrow('init.eye_: expected [rows, columns], got [3]')
  expect(() => init.dirac_(empty([3, 3]))).toThrow(
    /init\.dirac_: expected \[out, in \/ groups, kernel …\].*, got \[3, 3\]/,
  )
  expect(() => init.dirac_(empty([3, 3, 3]), 2)).toThrow('init.dirac_: groups: expected a divisor of 3, got 2')
  expect(() => init.sparse_(empty([3, 3, 3]), 0.5)).toThrow('got [3, 3, 3]')
  expect(() => init.kaimingNormal_(empty([3]))).toThrow('fan in and fan out need two axes or more, got [3]')
})
