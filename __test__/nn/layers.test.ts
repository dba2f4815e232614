/** Layers against values of PyTorch: outputs in training and evaluation, buffers, names; and what they refuse. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { Generator, ones, randn, readSafetensors, type Tensor, tensor } from '../../src/tensor/index.js'
import { expectClose, numbers } from './close.js'

const file = join(import.meta.dirname, '../fixtures/nn/layers.safetensors')

const layers: Record<string, () => nn.Layer> = {
  ReLU6: () => new nn.ReLU6(),
  Mish: () => new nn.Mish(),
  Hardtanh: () => new nn.Hardtanh({ minVal: -0.7, maxVal: 1.2 }),
  Hardsigmoid: () => new nn.Hardsigmoid(),
  Hardswish: () => new nn.Hardswish(),
  PReLU: () => new nn.PReLU(),
  'PReLU.channels': () => new nn.PReLU({ numParameters: 5 }),
  ELU: () => new nn.ELU({ alpha: 0.6 }),
  SELU: () => new nn.SELU(),
  LeakyReLU: () => new nn.LeakyReLU({ negativeSlope: 0.2 }),
  Softplus: () => new nn.Softplus({ beta: 2, threshold: 3 }),
  Softsign: () => new nn.Softsign(),
  LogSigmoid: () => new nn.LogSigmoid(),
  'GELU.tanh': () => new nn.GELU({ approximate: 'tanh' }),
  Softmax: () => new nn.Softmax({ dim: 1 }),
  LogSoftmax: () => new nn.LogSoftmax(),
  GLU: () => new nn.GLU({ dim: 1 }),
  Conv1d: () => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, dilation: 2, groups: 2 }),
  'Conv2d.same': () => new nn.Conv2d(3, 4, [4, 3], { padding: 'same' }),
  'Conv2d.reflect': () => new nn.Conv2d(3, 4, 3, { padding: [2, 1], paddingMode: 'reflect' }),
  'Conv2d.circular': () => new nn.Conv2d(3, 4, 4, { padding: 'same', paddingMode: 'circular', bias: false }),
  'Conv2d.replicate': () => new nn.Conv2d(4, 4, 3, { stride: 2, padding: 1, paddingMode: 'replicate', groups: 2 }),
  ConvTranspose2d: () => new nn.ConvTranspose2d(4, 6, [3, 2], { stride: 2, padding: 1, outputPadding: 1, groups: 2 }),
  BatchNorm1d: () => new nn.BatchNorm1d(5),
  BatchNorm2d: () => new nn.BatchNorm2d(3, { eps: 1e-3, momentum: 0.3 }),
  InstanceNorm1d: () => new nn.InstanceNorm1d(3, { affine: true }),
  InstanceNorm2d: () => new nn.InstanceNorm2d(3),
  'InstanceNorm2d.tracked': () => new nn.InstanceNorm2d(3, { affine: true, trackRunningStats: true, momentum: 0.4 }),
  GroupNorm: () => new nn.GroupNorm(2, 6),
  LayerNorm: () => new nn.LayerNorm([3, 4], { bias: false }),
  LayerNorm2d: () => new nn.LayerNorm2d(6),
  RMSNorm: () => new nn.RMSNorm(6),
  'RMSNorm.eps': () => new nn.RMSNorm([3, 6], { eps: 0.1 }),
  PixelShuffle: () => new nn.PixelShuffle(2),
  PixelUnshuffle: () => new nn.PixelUnshuffle(3),
  ConstantPad2d: () => new nn.ConstantPad2d([1, 2, 0, 3], 0.5),
  ZeroPad2d: () => new nn.ZeroPad2d([1, -1, 2, 0]),
  ReflectionPad2d: () => new nn.ReflectionPad2d([1, 2, 0, 2]),
  ReplicationPad2d: () => new nn.ReplicationPad2d(2),
  CircularPad2d: () => new nn.CircularPad2d([3, 1, 2, 0]),
  Unflatten: () => new nn.Unflatten(1, [2, 3]),
  weightNorm: () => nn.weightNorm(new nn.Linear(4, 3, { bias: false })),
  'weightNorm.conv': () => nn.weightNorm(new nn.Conv2d(2, 3, 3), { dim: 1 }),
}

let reference: Map<string, Tensor>
beforeAll(async () => {
  reference = (await readSafetensors(file)).tensors
})

const under = (prefix: string) =>
  new Map(
    [...reference].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  )

test('every case of the file is tried', () => {
  const names = new Set([...reference.keys()].map((key) => key.split('/')[0]))
  expect([...names].toSorted()).toEqual([...Object.keys(layers), 'pair'].toSorted())
})

test.each(Object.entries(layers))('%s equals PyTorch', async (name, make) => {
  const layer = make()
  const state = under(`${name}/state/`)
  expect([...layer.stateDict().keys()].toSorted()).toEqual([...state.keys()].toSorted())
  layer.loadStateDict(state)
  const x = reference.get(`${name}/input`) as Tensor
  await expectClose(layer.train().forward(x), reference.get(`${name}/train`))
  const after = under(`${name}/after/`)
  for (const [key, buffer] of layer.namedBuffers()) await expectClose(buffer, after.get(key))
  await expectClose(layer.eval().forward(x), reference.get(`${name}/eval`))
})

test('layers of two inputs equal PyTorch', async () => {
  const [a, b] = [reference.get('pair/a') as Tensor, reference.get('pair/b') as Tensor]
  await expectClose(new nn.CosineSimilarity().forward(a, b), reference.get('pair/CosineSimilarity'))
  await expectClose(
    new nn.PairwiseDistance({ p: 1.5, keepdim: true }).forward(a, b),
    reference.get('pair/PairwiseDistance'),
  )
})

describe('dropout', () => {
  const dropped = (layer: nn.Layer) => numbers(layer.forward(ones([4, 50, 3, 2])))

  test('Dropout2d drops whole channels and keeps the mean; evaluation changes nothing', async () => {
    const values = await dropped(new nn.Dropout2d(0.25, { generator: new Generator(1) }))
    const channels = Array.from({ length: 200 }, (_, index) => values.slice(6 * index, 6 * index + 6))
    expect(channels.every((channel) => new Set(channel).size === 1)).toBe(true)
    expect(new Set(channels.map(([value]) => value?.toFixed(4)))).toEqual(new Set(['0.0000', '1.3333']))
    const kept = channels.filter(([value]) => value !== 0).length
    expect(kept).toBeGreaterThan(125)
    expect(kept).toBeLessThan(175)
    expect(new Set(await dropped(new nn.Dropout2d(0.25).eval()))).toEqual(new Set([1]))
  })

  test('DropPath drops whole samples', async () => {
    const values = await dropped(new nn.DropPath(0.5, { generator: new Generator(2) }))
    for (let sample = 0; sample < 4; sample += 1) {
      expect(new Set(values.slice(300 * sample, 300 * sample + 300)).size).toBe(1)
    }
  })

  test('a probability is from 0 to 1', () => {
    expect(() => new nn.Dropout2d(1.2)).toThrow('a dropout probability is from 0 to 1, got 1.2')
  })
})

describe('weightNorm', () => {
  test('keeps what the layer computes, and the gradient reaches length and direction', async () => {
    const layer = new nn.Linear(4, 3)
    const x = randn([2, 4])
    const before = layer.forward(x).detach()
    const normed = nn.weightNorm(layer)
    expect([...layer.stateDict().keys()]).toEqual(['bias', 'weight_g', 'weight_v'])
    await expectClose(layer.forward(x), before)
    layer.forward(x).square().sum().backward()
    expect(normed.weightG.grad?.shape).toEqual([3, 1])
    // Along its own direction a vector's gradient vanishes: the length takes all of it.
    await expectClose((normed.weightV.grad as Tensor).mul(normed.weightV).sum(1), tensor([0, 0, 0]), 1e-5)
  })

  test('is refused twice, and where there is no such axis', () => {
    const layer = nn.weightNorm(new nn.Linear(4, 3))
    expect(() => nn.weightNorm(layer)).toThrow('this Linear has weight normalisation already')
    expect(() => nn.weightNorm(new nn.Linear(4, 3), { dim: 2 })).toThrow(/along axis 2 .*Linear has \[3, 4\]/)
  })
})

describe('bad input names both shapes', () => {
  const x = () => randn([2, 3, 5, 5])
  test.each<[string, () => nn.Layer, RegExp]>([
    ['Conv2d', () => new nn.Conv2d(4, 2, 3), /\[2, 3, 5, 5\].*\[2, 4, 3, 3\]|\[2, 4, 3, 3\].*\[2, 3, 5, 5\]/],
    ['Linear', () => new nn.Linear(4, 2), /\[2, 3, 5, 5\].*\[2, 4\]/],
    ['BatchNorm2d', () => new nn.BatchNorm2d(4), /BatchNorm2d of 4 channels takes 4 axes .*got \[2, 3, 5, 5\]/],
    ['BatchNorm1d', () => new nn.BatchNorm1d(3), /BatchNorm1d of 3 channels takes 2 or 3 axes .*got \[2, 3, 5, 5\]/],
    [
      'InstanceNorm1d',
      () => new nn.InstanceNorm1d(3),
      /InstanceNorm1d of 3 channels takes 3 axes .*got \[2, 3, 5, 5\]/,
    ],
    ['LayerNorm', () => new nn.LayerNorm(4), /\[4\].*\[2, 3, 5, 5\]|\[2, 3, 5, 5\].*\[4\]/],
    [
      'PixelShuffle',
      () => new nn.PixelShuffle(2),
      /PixelShuffle: expected \[\.\.\., 4·c, height, width\], got \[2, 3, 5, 5\]/,
    ],
    ['PixelUnshuffle', () => new nn.PixelUnshuffle(2), /expected \[\.\.\., channels, 2·h, 2·w\], got \[2, 3, 5, 5\]/],
    ['Unflatten', () => new nn.Unflatten(1, [2, 2]), /axis 1 to divide into \[2, 2\], got \[2, 3, 5, 5\]/],
    ['GLU', () => new nn.GLU({ dim: 1 }), /GLU: expected axis 1 of an even size, got \[2, 3, 5, 5\]/],
  ])('%s', (_, make, message) => {
    expect(() => make().forward(x())).toThrow(
      expect.objectContaining({ code: 'ERR_SHAPE', message: expect.stringMatching(message) as string }),
    )
  })

  test('channels that do not divide by the groups', () => {
    expect(() => new nn.Conv2d(3, 4, 3, { groups: 2 })).toThrow('groups is 2, but 3 → 4 channels do not divide by it')
    expect(() => new nn.GroupNorm(4, 6)).toThrow('6 channels do not divide into 4 groups')
  })
})
