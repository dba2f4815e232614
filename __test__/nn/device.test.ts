/** Networks on a GPU: forward and backward as on the CPU, nothing refused, nothing taken to the CPU. Needs an adapter. */
import { afterEach, describe, expect, test } from 'vitest'
import { resnet18, vit, visionTransformer, type Module } from '../../src/nn/index.js'
import { gpuAdapters, gpuStatistics, manualSeed, randn, setDefaultDevice } from '../../src/tensor/index.js'

const there = gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')

afterEach(() => setDefaultDevice('cpu'))

const small = { imgSize: 16, patchSize: 4, embedDim: 48, depth: 1, numClasses: 5 }

describe.skipIf(!there)('a training step', () => {
  test.each<[string, () => Module, number[]]>([
    [
      'a vision transformer, positions interpolated',
      () => visionTransformer('tiny', { ...small, dynamicImgSize: true }),
      [2, 3, 24, 24],
    ],
    [
      'rotary positions, gates, a norm of queries',
      () => vit('tiny', { ...small, useRope: '2d', useQkNorm: true, mlpType: 'swiglu' }),
      [1, 3, 16, 16],
    ],
    ['a residual network', () => resnet18({ numClasses: 5 }), [2, 3, 64, 64]],
  ])('of %s', async (_, make, shape) => {
    const runs = []
    for (const device of ['cpu', 'gpu'] as const) {
      setDefaultDevice('cpu')
      manualSeed(5)
      const model = make()
      const images = randn(shape)
      model.to(device)
      setDefaultDevice(device)
      const before = gpuStatistics('gpu').cpuOperations
      const loss = model.forward(images.to(device) as never) as ReturnType<typeof randn>
      const mean = loss.square().mean()
      mean.backward()
      expect(gpuStatistics('gpu').cpuOperations).toBe(before)
      const gradients: Record<string, Float32Array> = {}
      for (const [name, parameter] of model.namedParameters())
        if (parameter.grad) gradients[name] = (await parameter.grad.data()) as Float32Array
      runs.push({ loss: await mean.item(), gradients })
    }
    const [own, other] = [runs[0]!, runs[1]!]
    expect(other.loss).toBeCloseTo(own.loss, 4)
    expect(Object.keys(other.gradients)).toEqual(Object.keys(own.gradients))
    const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
    for (const [name, gradient] of Object.entries(own.gradients)) {
      // As a whole: a ReLU whose input is nearly 0 is on the other side of its kink now and then.
      const difference = norm(gradient.map((value, i) => value - other.gradients[name]![i]!))
      expect([name, difference / (norm(gradient) + 1e-6) < 0.01 ? 'agrees' : difference / norm(gradient)]).toEqual([
        name,
        'agrees',
      ])
    }
  })
})
