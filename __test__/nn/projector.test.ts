/** The projectors of methods: their layers, and the two halves of networks whose features keep their place. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { manualSeed, noGrad, randn, type Tensor } from '../../src/tensor/index.js'

const named = (module: nn.Module): string[] =>
  [...module.namedParameters()].map(([name, { shape }]) => `${name} ${shape.join('x')}`)

describe('projector', () => {
  test('has linear layer, batch norm and ReLU for each hidden width, and numbers without gaps', () => {
    expect(named(nn.projector([4, 8, 3]))).toEqual([
      '0.weight 8x4',
      '0.bias 8',
      '1.weight 8',
      '1.bias 8',
      '3.weight 3x8',
      '3.bias 3',
    ])
    expect(named(nn.projector([4, 8, 3], { norm: false, bias: false }))).toEqual(['0.weight 8x4', '2.weight 3x8'])
    expect(named(nn.projector([4, 8, 3], { bias: false, lastBias: true })).at(-1)).toBe('3.bias 3')
  })

  test('its last norm has scale and bias, a scale only, or neither', () => {
    const last = (lastNorm: 'affine' | 'scale' | 'plain') => {
      const all = [...nn.projector([4, 3], { bias: false, lastNorm }).namedParameters()]
      return all.filter(([, { requiresGrad }]) => requiresGrad).map(([name]) => name)
    }
    expect(last('affine')).toEqual(['0.weight', '1.weight', '1.bias'])
    expect(last('scale')).toEqual(['0.weight', '1.weight'])
    expect(last('plain')).toEqual(['0.weight'])
  })

  test('refuses fewer than two widths', () => {
    expect(() => nn.projector([4])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

describe('features that keep their place', () => {
  const images = () => randn([2, 3, 32, 32])
  const networks: Array<[string, () => nn.PatchNetwork, number]> = [
    ['resnet18', () => nn.resnet18({ lowResolution: true }), 16],
    ['resnet9', () => new nn.ResNet9(), 16],
    ['convnext', () => new nn.ConvNeXt([1, 1], [8, 16]), 16],
    ['convmixer', () => new nn.ConvMixer({ dim: 8, depth: 1, patchSize: 8, kernelSize: 3 }), 16],
    ['vit', () => new nn.VisionTransformer({ imgSize: 32, patchSize: 8, embedDim: 8, depth: 1, numHeads: 2 }), 16],
  ]

  test.each(networks)(
    '%s: the embedding is that of its forward, with a vector for each place',
    async (_, make, places) => {
      manualSeed(0)
      const network = nn.requirePatches(make().eval(), 'test')
      const input = images()
      const { embedding, patches } = noGrad(() => nn.patchFeatures(network, input))
      expect(patches.shape).toEqual([2, places, network.patchDim])
      const whole = noGrad(() => network.forward(input)) as Tensor
      expect(await embedding.data()).toEqual(await whole.data())
    },
  )

  test('a place is where it was: of a map row by row', async () => {
    const network = nn.requirePatches(new nn.ConvMixer({ dim: 2, depth: 0, patchSize: 8 }).eval(), 'test')
    const { map, patches } = noGrad(() => {
      const input = images()
      return { map: network.forwardFeatures(input), patches: nn.patchFeatures(network, input).patches }
    })
    const at = (row: number, column: number) =>
      map.select(3, column).select(2, row).narrow(0, 1, 1).reshape([-1]).data()
    expect(
      await patches
        .select(1, 4 * 2 + 3)
        .narrow(0, 1, 1)
        .reshape([-1])
        .data(),
    ).toEqual(await at(2, 3))
  })

  test('a network that gives one vector is refused, and who asked is said', () => {
    expect(() => nn.requirePatches(nn.mlp([4, 4]), 'vicregl')).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        message: expect.stringContaining('vicregl: it needs') as string,
      }),
    )
  })
})
