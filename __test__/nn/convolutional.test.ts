/** Convolutional backbones: options and shapes. Their values are compared in the reference vectors and in `pretrained`. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { cat, manualSeed, noGrad, randn, type Tensor } from '../../src/tensor/index.js'
import { numbers } from './close.js'

const shapeOf = (model: nn.Module, shape: number[]) => noGrad(() => model.eval().forward(randn(shape))).shape

describe('shapes', () => {
  test.each<[string, () => nn.Module & { dim: number }, number[], number[], number]>([
    ['ResNet-18, narrow', () => nn.resnet18({ width: 6 }), [2, 3, 32, 32], [2, 48], 48],
    ['ResNet-50, narrow', () => nn.resnet50({ width: 4, lowResolution: true }), [1, 3, 16, 16], [1, 128], 128],
    ['ResNet-18, grey images', () => nn.resnet18({ inChannels: 1 }), [2, 1, 40, 33], [2, 512], 512],
    [
      'ResNet-18, low resolution, classes',
      () => nn.resnet18({ lowResolution: true, numClasses: 7 }),
      [1, 3, 8, 8],
      [1, 7],
      512,
    ],
    ['ResNet-9', () => new nn.ResNet9(), [2, 3, 16, 17], [2, 1024], 1024],
    ['ResNet-9, classes', () => new nn.ResNet9({ numClasses: 5, inChannels: 1 }), [2, 1, 32, 32], [2, 5], 1024],
    ['ConvNeXt, any depths', () => new nn.ConvNeXt([1, 2], [6, 10], { inChannels: 2 }), [2, 2, 16, 24], [2, 10], 10],
    [
      'ConvMixer, an even window',
      () => new nn.ConvMixer({ dim: 6, depth: 2, kernelSize: 4 }),
      [2, 3, 22, 29],
      [2, 6],
      6,
    ],
  ])('%s', (_, make, input, output, dim) => {
    const model = make()
    expect(shapeOf(model, input)).toEqual(output)
    expect(model.dim).toBe(dim)
  })

  test('numClasses 0 is no classifier, as in timm', () => {
    for (const model of [nn.resnet18({ numClasses: 0 }), new nn.ConvNeXt([1], [4], { numClasses: 0 })]) {
      expect([...model.stateDict().keys()].filter((key) => /^(head\.)?fc/.test(key))).toEqual([])
    }
  })
})

describe('ConvNeXt', () => {
  const rates = (model: nn.ConvNeXt) =>
    model.modules().flatMap((module) => (module instanceof nn.DropPath ? [Number(module.p.toFixed(6))] : []))

  test('the probability to drop a residual grows linearly over all blocks', () => {
    expect(rates(new nn.ConvNeXt([2, 1, 2], [4, 4, 4], { dropPathRate: 0.4 }))).toEqual([0, 0.1, 0.2, 0.3, 0.4])
    expect(rates(new nn.ConvNeXt([1], [4], { dropPathRate: 0.4 }))).toEqual([0])
  })

  test('without layer scale there is no gamma', () => {
    const keys = [...new nn.ConvNeXt([1], [4], { layerScaleInit: null }).stateDict().keys()]
    expect(keys.filter((key) => key.endsWith('gamma'))).toEqual([])
    expect(keys[4]).toBe('stages.0.blocks.0.conv_dw.weight')
  })
})

describe('training and evaluation', () => {
  test('batch statistics in training: an image among others gives another embedding; in evaluation the same', async () => {
    const model = new nn.ResNet9()
    const [one, other] = [randn([1, 3, 16, 16]), randn([3, 3, 16, 16])]
    const together = (mode: boolean): Promise<number[]> => {
      model.train(mode)
      return noGrad(async () => numbers(model.forward(cat([one, other])).narrow(0, 0, 1)))
    }
    const alone = (mode: boolean): Promise<number[]> => {
      model.train(mode)
      return noGrad(async () => numbers(model.forward(one)))
    }
    const distance = (a: number[], b: number[]) =>
      Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? NaN))))
    expect(distance(await together(false), await alone(false))).toBeLessThan(1e-3)
    expect(distance(await together(true), await alone(true))).toBeGreaterThan(1e-2)
  })
})

describe('bad images name the shapes', () => {
  test.each<[string, () => nn.Module, number[], RegExp]>([
    ['other channels', () => nn.resnet18(), [1, 1, 32, 32], /\[1, 1, 32, 32\].*\[64, 3, 7, 7\]/],
    ['no batch', () => new nn.ConvMixer(), [3, 28, 28], /BatchNorm2d of 64 channels takes 4 axes .*, got \[64, 4, 4\]/],
    ['smaller than a patch', () => new nn.ConvNeXt([1], [4]), [1, 3, 2, 2], /\[1, 3, 2, 2\]|2/],
  ])('%s', (_, make, shape, message) => {
    expect(() => make().forward(randn(shape))).toThrow(
      expect.objectContaining({ code: 'ERR_SHAPE', message: expect.stringMatching(message) as string }),
    )
  })
})

test('a watched block of a residual network, whose layers run one by one, gives the same bits', async () => {
  const run = async (watched: boolean) => {
    manualSeed(3)
    const block = new nn.BasicBlock(16, 16, 1, null)
    const input = randn([2, 16, 6, 5], { requiresGrad: true })
    const seen: number[][] = []
    if (watched) block.bn2.registerForwardHook((_, output) => void seen.push((output as Tensor).shape))
    if (watched) block.relu.registerForwardHook(() => void seen.push([]))
    const output = block.forward(input)
    output.square().sum().backward()
    expect(seen).toEqual(watched ? [[], [2, 16, 6, 5], []] : [])
    const gradients = [input, ...block.parameters()].map((one) => one.grad)
    const floats = [...block.buffers()].filter((buffer) => buffer.dtype === 'float32')
    return Promise.all([output, ...gradients, ...floats].map((one) => numbers(one as Tensor)))
  }
  expect(await run(true)).toEqual(await run(false))
})

test('another layer in the place of a batch norm or a ReLU runs as it is', async () => {
  const block = new nn.BasicBlock(4, 4, 1, null)
  const input = randn([1, 4, 3, 3])
  Object.assign(block, { bn1: new nn.Identity(), bn2: new nn.Identity(), relu: new nn.Identity() })
  const plain = block.conv2.forward(block.conv1.forward(input)).add(input)
  expect(await numbers(block.forward(input))).toEqual(await numbers(plain))
})
