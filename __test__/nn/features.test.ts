/** Reading inner layers by name, and freezing by name. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { noGrad, randn, readSafetensors, type Tensor } from '../../src/tensor/index.js'
import { expectClose } from './close.js'

const fixtures = join(import.meta.dirname, '../fixtures/nn')

describe('featureExtractor', () => {
  test('gives what timm gives inside the same network', async () => {
    const { tensors } = await readSafetensors(join(fixtures, 'convnext-outputs.safetensors'))
    const model = new nn.ConvNeXt([1, 1, 2, 1], [8, 12, 16, 20])
    await nn.loadPretrained(model, 'convnext.safetensors', { root: fixtures })
    const inner = nn.featureExtractor(model.eval(), ['stages.1', ''])
    const found = noGrad(() => inner.forward(tensors.get('x') as Tensor))
    await expectClose(found['stages.1'] as Tensor, tensors.get('stages.1'), 5e-6)
    await expectClose(found[''] as Tensor, tensors.get('features'), 5e-6)
  })

  test('reaches into nested Sequentials and lists, under names of one’s own, with gradients', () => {
    const model = nn.resnet18({ lowResolution: true })
    const inner = nn.featureExtractor(model, { 'layer2.0.downsample.1': 'shortcut', layer4: 'deep' })
    const { shortcut, deep } = inner.forward(randn([1, 3, 16, 16]))
    expect([shortcut?.shape, deep?.shape]).toEqual([
      [1, 128, 8, 8],
      [1, 512, 2, 2],
    ])
    deep?.sum().backward()
    expect(model.conv1.weight.grad?.shape).toEqual([64, 3, 3, 3])
  })

  test('leaves no hook, also where the forward fails', () => {
    const model = new nn.Sequential(new nn.Linear(4, 2), new nn.ReLU())
    const inner = nn.featureExtractor(model, ['0'])
    inner.forward(randn([1, 4]))
    expect(() => inner.forward(randn([1, 3]))).toThrow(/\[1, 3\]/)
    expect(Object.hasOwn(model.at(0), 'forward')).toBe(false)
  })

  test('is a module: its mode and its parameters are those of the inner one', () => {
    const model = new nn.Sequential(new nn.Linear(4, 2), new nn.Dropout())
    const inner = nn.featureExtractor(model, ['1']).eval()
    expect([model.training, inner.parameters()[0] === model.parameters()[0]]).toEqual([false, true])
  })

  test('an unknown name is refused with the nearest one', () => {
    expect(() => nn.featureExtractor(nn.resnet18(), ['layer3', 'layer5.0'])).toThrow(
      expect.objectContaining({
        code: 'ERR_ARGUMENT',
        message: 'no module "layer5.0" in ResNet; did you mean "layer1.0"?',
        hint: expect.stringContaining('conv1, bn1, relu, maxpool, layer1') as string,
      }),
    )
  })

  test('a layer that does not run is told', () => {
    class Half extends nn.Module {
      used = new nn.ReLU()
      unused = new nn.ReLU()
      forward(x: Tensor): Tensor {
        return this.used.forward(x)
      }
    }
    expect(() => nn.featureExtractor(new Half(), ['unused']).forward(randn([1]))).toThrow(
      '"unused" did not run in the forward of Half',
    )
  })
})

describe('freeze', () => {
  const trainable = (model: nn.Module) =>
    [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad).map(([name]) => name)

  test('by layer: all below it, and not what only begins with the same letters', () => {
    const model = new nn.ModuleDict({ block1: new nn.Linear(2, 2), block10: new nn.Linear(2, 2) })
    expect(nn.freeze(model as unknown as nn.Module, 'block1')).toEqual(['block1.weight', 'block1.bias'])
    expect(trainable(model as unknown as nn.Module)).toEqual(['block10.weight', 'block10.bias'])
  })

  test('by expression, and back; without a pattern all', () => {
    const model = nn.resnet18()
    expect(nn.freeze(model, /bn\d\.(weight|bias)$/, 'conv1').length).toBe(2 + 2 * 8 * 2 + 1)
    expect(trainable(model).every((name) => /conv\d|downsample/.test(name) && name !== 'conv1.weight')).toBe(true)
    nn.unfreeze(model, /bn\d/g)
    expect(trainable(model)).toContain('layer1.0.bn1.weight')
    nn.freeze(model)
    expect(trainable(model)).toEqual([])
    expect(nn.unfreeze(model).length).toBe(60)
  })

  test('a pattern that matches nothing is refused, and nothing changes', () => {
    const model = nn.mlp([2, 3, 4])
    expect(() => nn.freeze(model, '0', 'layer1')).toThrow('freeze: no parameter of Sequential matches "layer1"')
    expect(() => nn.freeze(nn.resnet18(), 'layer_1')).toThrow('matches "layer_1"; did you mean "layer1"?')
    expect(trainable(model).length).toBe(4)
  })
})
