/** Vision transformers against timm's values and names, on other image sizes, with dropped paths, and given bad input. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { Generator, manualSeed, noGrad, ones, randn, readSafetensors, type Tensor } from '../../src/tensor/index.js'
import { expectClose, numbers } from './close.js'

const file = join(import.meta.dirname, '../fixtures/nn/transformers.safetensors')
let reference: Map<string, Tensor>
beforeAll(async () => {
  reference = (await readSafetensors(file)).tensors
})

const part = (prefix: string) =>
  new Map([...reference].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [])))

const base = { imgSize: 16, patchSize: 4, embedDim: 8, depth: 2, numHeads: 2 } satisfies nn.VisionTransformerOptions
const images = (side: number, count = 2) => randn([count, 3, side, side], { generator: new Generator(1) })

describe('timm', () => {
  const cases: Record<string, nn.VisionTransformerOptions> = {
    'vit-registers': { regTokens: 2, qkNorm: true, initValues: 0.1, mlpRatio: 2.5 },
    'vit-avg': { globalPool: 'avg', classToken: false, numClasses: 3, qkvBias: false },
    'vit-avgmax': { globalPool: 'avgmax', noEmbedClass: true, preNorm: true, regTokens: 1 },
    'vit-max': { globalPool: 'max', fcNorm: false, posEmbed: 'none' },
    'vit-larger': { dynamicImgSize: true },
    'vit-smaller': { dynamicImgSize: true, noEmbedClass: true, regTokens: 3 },
    'vit-oblong': { imgSize: [8, 24], patchSize: [4, 8] },
  }
  test.each(Object.entries(cases))('%s: its names, its output', async (name, options) => {
    const model = new nn.VisionTransformer({ ...base, ...options }).eval()
    const state = part(`${name}/state/`)
    expect([...model.stateDict().keys()].toSorted()).toEqual([...state.keys()].toSorted())
    model.loadStateDict(state)
    await expectClose(
      noGrad(() => model.forward(reference.get(`${name}/in/x`) as Tensor)),
      reference.get(`${name}/out/y`),
    )
  })
})

describe('options', () => {
  test('dropped paths rise linearly, drop whole samples in training, and do nothing in evaluation', async () => {
    const model = new nn.VisionTransformer({ ...base, depth: 5, dropPathRate: 0.4 })
    const rates = [...model.blocks].map((block) => (block as nn.VisionTransformerBlock).dropPath1.p)
    expect(rates.map((rate) => rate.toFixed(3))).toEqual(['0.000', '0.100', '0.200', '0.300', '0.400'])
    manualSeed(3)
    const block = new nn.VisionTransformerBlock(8, 0.4, base)
    const tokens = randn([4000, 1, 8])
    const moved = async () => {
      const values = await numbers(
        noGrad(() => block.forward(tokens).sub(tokens))
          .abs()
          .amax([1, 2]),
      )
      return values.filter((value) => value > 0).length / values.length
    }
    // A sample stands still only when both steps are dropped.
    expect(await moved()).toBeCloseTo(1 - 0.4 ** 2, 1)
    block.eval()
    expect(await moved()).toBe(1)
  })

  test('positions of the grid it was made for are the table itself; other sizes need dynamicImgSize', async () => {
    const table = randn([1, 16, 4])
    expect(nn.interpolatePosEmbed(table, [4, 4], [4, 4])).toBe(table)
    const flat = nn.interpolatePosEmbed(ones([1, 17, 4]), [4, 4], [7, 3], { numPrefixTokens: 1 })
    await expectClose(flat, ones([1, 22, 4]))
    expect(() => nn.interpolatePosEmbed(table, [4, 5], [4, 4])).toThrow(/\[1, 16, 4\]/)
    const fixed = new nn.VisionTransformer(base)
    expect(() => fixed.forward(images(24))).toThrow(/24×24.*16×16/)
    expect(new nn.VisionTransformer({ ...base, dynamicImgSize: true }).forward(images(24)).shape).toEqual([2, 8])
    expect(new nn.ViT(base).forward(images(8)).shape).toEqual([2, 8])
  })

  test('rotary positions leave class and register tokens where they are, and make patches differ by place', async () => {
    const make = (useRope: '1d' | '2d') => new nn.ViT({ ...base, useRope, numRegTokens: 2, globalPool: '' }).eval()
    const same = ones([1, 3, 16, 16])
    for (const kind of ['1d', '2d'] as const) {
      const tokens = noGrad(() => make(kind).forward(same))
      expect(tokens.shape).toEqual([1, 19, 8])
      expect(make(kind).stateDict().has('pos_embed')).toBe(false)
    }
    const rope = new nn.RotaryPositionEmbedding1D(8)
    const [q, k] = [randn([1, 8]), randn([1, 8])]
    const at = (x: Tensor, place: number) => rope.forward(x.expand([place + 1, 8])).narrow(0, place, 1)
    const score = async (i: number, j: number) => (await numbers(at(q, i).mul(at(k, j)).sum()))[0] as number
    // Scores depend on the distance only.
    expect(await score(2, 5)).toBeCloseTo(await score(7, 10), 4)
  })

  test('presets have timm’s widths; the plugins’ options choose whose layout', () => {
    expect(
      nn.visionTransformer('tiny', { imgSize: 32, patchSize: 8, depth: 1 }).stateDict().get('blocks.0.mlp.fc1.weight')
        ?.shape,
    ).toEqual([768, 192])
    const config = (options: object) => nn.vitConfig().parse({ imageSize: 32, patchSize: 8, depth: 1, ...options })
    const names = (options: object) => [...nn.vitFromConfig('tiny', config(options)).stateDict().keys()]
    expect(names({ layerScale: 0.1, qkNorm: true })).toEqual(
      expect.arrayContaining(['blocks.0.ls1.gamma', 'blocks.0.attn.q_norm.weight']),
    )
    expect(names({ layerScale: 0.1, swiglu: true })).toEqual(
      expect.arrayContaining(['blocks.0.ls1', 'blocks.0.mlp.w3.weight']),
    )
    expect(names({ posEmbed: 'rope_2d', registerTokens: 4 })).toContain('blocks.0.attn.rope.inv_freq')
    expect(() => names({ swiglu: true, layout: 'timm' })).toThrow(/timm.*swiglu/)
    expect(nn.vitConfig().safeParse({ patchSize: 0 }).success).toBe(false)
  })

  test('sines and cosines are no parameters', () => {
    const model = new nn.ViT({ ...base, posEmbedType: 'sincos_2d' })
    expect([...model.namedParameters()].map(([name]) => name)).not.toContain('pos_embed')
    expect(model.stateDict().get('pos_embed')?.shape).toEqual([1, 17, 8])
  })
})

describe('bad input', () => {
  test('an image that the patches do not fill is named with both sizes', () => {
    expect(() => new nn.PatchEmbed({ imgSize: 30, patchSize: 16 })).toThrow(/30×30.*16×16/)
    const model = new nn.ViT(base)
    expect(() => model.forward(images(18))).toThrow(/18×18.*4×4/)
    expect(() => model.forward(ones([3, 16, 16]))).toThrow(/\[3, 16, 16\]/)
  })

  test('heads that do not divide the width are named with both numbers', () => {
    expect(() => new nn.Attention(10, { numHeads: 4 })).toThrow(/10.*4/)
    expect(() => new nn.CrossAttention(10, { numHeads: 3 })).toThrow(/10.*3/)
    expect(() => new nn.MultiheadAttention(10, 0)).toThrow(/10.*0/)
    expect(() => new nn.VisionTransformer({ ...base, embedDim: 9 })).toThrow(/9.*2/)
  })

  test('a class token that is pooled must be there', () => {
    expect(() => new nn.VisionTransformer({ ...base, classToken: false })).toThrow(/class token.*token/)
  })

  test('tables whose width does not divide say so', () => {
    expect(() => nn.get2dSincosPosEmbed(6, 4)).toThrow(/4.*6/)
    expect(() => new nn.RotaryPositionEmbedding1D(7)).toThrow(/7/)
    expect(() => new nn.RotaryPositionEmbedding2D(6)).toThrow(/6/)
    expect(() => new nn.RotaryPositionEmbedding2D(8).forward(ones([1, 7, 8]), [2, 4])).toThrow(/2×4 = 8.*\[1, 7, 8\]/)
  })
})
