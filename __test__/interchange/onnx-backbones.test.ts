/** Backbones exported to ONNX give in onnxruntime what they give here, for any batch size. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { manualSeed, nn, randn } from '../../src/index.js'
import { compareWithOnnxruntime, type OnnxResult } from './onnx.js'
import { pythonWith } from './python.js'
import { disturb } from './weights.js'

const image = (size: number) => [3, size, size]

const small = { imgSize: 32, patchSize: 8, embedDim: 48, depth: 2, numHeads: 3 }

const backbones: Record<string, { build: () => nn.Module<unknown>; shape: number[] }> = {
  'resnet18, low resolution': { build: () => nn.resnet18({ lowResolution: true }), shape: image(32) },
  resnet18: { build: () => nn.resnet18({ numClasses: 7 }), shape: image(64) },
  'resnet50, low resolution': { build: () => nn.resnet50({ lowResolution: true }), shape: image(32) },
  resnet50: { build: () => nn.resnet50(), shape: image(32) },
  resnet9: { build: () => new nn.ResNet9(), shape: image(32) },
  convnext: { build: () => new nn.ConvNeXt([1, 1, 2, 1], [24, 48, 96, 192]), shape: image(64) },
  convmixer: { build: () => new nn.ConvMixer({ numClasses: 5 }), shape: image(35) },
  'vit of timm': {
    build: () =>
      new nn.VisionTransformer({
        ...small,
        regTokens: 2,
        numClasses: 5,
        qkNorm: true,
        initValues: 0.5,
        dropPathRate: 0.1,
      }),
    shape: image(32),
  },
  'vit, rotary': {
    build: () => new nn.ViT({ ...small, useRope: '2d', mlpType: 'swiglu', useQkNorm: true, globalPool: 'avg' }),
    shape: image(48),
  },
  'masked encoder': {
    build: () => new nn.MaskedEncoder(new nn.VisionTransformer({ ...small, globalPool: '' })),
    shape: image(32),
  },
  mlp: { build: () => nn.mlp([12, 32, 8], { norm: 'batch_norm', dropout: 0.1 }), shape: [12] },
}

const runtime = pythonWith('numpy', 'onnx', 'onnxruntime')
describe.skipIf(runtime.absent)(`onnxruntime gives what the backbone gives${runtime.note}`, () => {
  let folder: string
  const results = new Map<string, OnnxResult & { parameters: string[] }>()
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spt-onnx-'))
    manualSeed(0)
    const cases = Object.entries(backbones).map(([name, { build, shape }]) => ({
      name,
      module: disturb(build()),
      input: randn([3, ...shape]),
      exportedShape: [1, ...shape],
    }))
    const fixed = {
      ...cases[1]!,
      name: 'fixed',
      options: { dynamicBatch: false, opset: 21 },
      exportedShape: cases[1]!.input.shape,
    }
    const all = [...cases, fixed]
    for (const [at, result] of (await compareWithOnnxruntime(folder, all)).entries()) {
      const { name, module } = all[at]!
      results.set(name, { ...result, parameters: [...module.namedParameters()].map(([parameter]) => parameter) })
    }
  }, 240_000)
  afterAll(() => rm(folder, { recursive: true }))

  test.each(Object.keys(backbones))('%s', (name) => {
    const { error, difference, inputShape, initializers, parameters } = results.get(name)!
    expect(error).toBeUndefined()
    expect(difference).toBeLessThan(1e-4)
    expect(inputShape).toEqual(['batch', ...backbones[name]!.shape])
    // Weights are found again by their names, except tokens and positions, which are added up before.
    const folded = /(^|\.)(cls_token|reg_token|pos_embed)$/
    expect(parameters.filter((parameter) => !initializers.includes(parameter) && !folded.test(parameter))).toEqual([])
  })

  test('a batch of a fixed size, with the latest operators', () => {
    const { error, difference, inputShape } = results.get('fixed')!
    expect(error).toBeUndefined()
    expect(difference).toBeLessThan(1e-4)
    expect(inputShape).toEqual([3, ...image(64)])
  })
})
