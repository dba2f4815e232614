/** Attention layers: PyTorch's values, plain loops over random shapes, masks of each form, dropout. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import {
  Generator,
  manualSeed,
  noGrad,
  rand,
  randn,
  readSafetensors,
  scaledDotProductAttention,
  tensor,
  type Tensor,
} from '../../src/tensor/index.js'
import { expectClose, numbers } from './close.js'

const file = join(import.meta.dirname, '../fixtures/nn/transformers.safetensors')
let reference: Map<string, Tensor>
beforeAll(async () => {
  reference = (await readSafetensors(file)).tensors
})
const given = (key: string) => reference.get(key) as Tensor
const state = (name: string) =>
  new Map(
    [...reference].flatMap(([key, value]) =>
      key.startsWith(`${name}/state/`) ? [[key.slice(name.length + 7), value]] : [],
    ),
  )

describe('PyTorch', () => {
  test.each([
    ['sdpa-causal-wide', { isCausal: true }],
    ['sdpa-causal-tall', { isCausal: true }],
    ['sdpa-blind', {}],
    ['sdpa-blind-float', {}],
  ])('%s: different lengths, queries that see nothing', async (name, options) => {
    const [q, k, v] = ['q', 'k', 'v'].map((input) => given(`${name}/in/${input}`)) as [Tensor, Tensor, Tensor]
    const mask = reference.get(`${name}/in/mask`)
    const attnMask = mask?.dtype === 'uint8' ? mask.to('bool') : mask
    await expectClose(scaledDotProductAttention(q, k, v, { ...options, attnMask }), given(`${name}/out/y`))
  })

  const layers: Record<string, [nn.MultiheadAttention, nn.MultiheadAttentionCall]> = {
    'mha-widths': [new nn.MultiheadAttention(8, 2, { kdim: 4, vdim: 6 }), {}],
    'mha-masks': [new nn.MultiheadAttention(8, 2), {}],
    'mha-float': [new nn.MultiheadAttention(8, 4, { batchFirst: true, bias: false }), { averageAttnWeights: false }],
    'mha-alone': [new nn.MultiheadAttention(8, 2), {}],
  }
  test.each(Object.entries(layers))(
    '%s: names, output and weights, also without weights',
    async (name, [layer, call]) => {
      layer.eval().loadStateDict(state(name))
      expect([...layer.stateDict().keys()].toSorted()).toEqual([...state(name).keys()].toSorted())
      const [q, k, v] = ['query', 'key', 'value'].map((input) => given(`${name}/in/${input}`)) as [
        Tensor,
        Tensor,
        Tensor,
      ]
      const mask = (key: string) => {
        const found = reference.get(`${name}/in/${key}`)
        return found?.dtype === 'uint8' ? found.to('bool') : found
      }
      const masks = { attnMask: mask('attn_mask'), keyPaddingMask: mask('key_padding_mask'), ...call }
      const [y, weights] = layer.forward(q, k, v, masks)
      await expectClose(y, given(`${name}/out/y`))
      await expectClose(weights as Tensor, given(`${name}/out/weights`))
      const [blocks, none] = layer.forward(q, k, v, { ...masks, needWeights: false })
      await expectClose(blocks, given(`${name}/out/y`))
      expect(none).toBe(null)
    },
  )
})

describe('self-attention', () => {
  test('equals plain loops on random shapes', async () => {
    const random = new Generator(4)
    manualSeed(4)
    for (let round = 0; round < 6; round += 1) {
      const [batch, tokens, heads, width] = [2, 6, 3, 4].map((top) => 1 + random.integer(top)) as [
        number,
        number,
        number,
        number,
      ]
      const dim = heads * width
      const layer = new nn.Attention(dim, { numHeads: heads })
      const x = randn([batch, tokens, dim])
      const qkv = await numbers(noGrad(() => layer.qkv.forward(x)))
      const at = (which: number, b: number, t: number, h: number, e: number) =>
        qkv[((b * tokens + t) * 3 + which) * dim + h * width + e] as number
      const mixed = new Float32Array(batch * tokens * dim)
      for (let b = 0; b < batch; b += 1)
        for (let h = 0; h < heads; h += 1)
          for (let i = 0; i < tokens; i += 1) {
            const scores = Array.from({ length: tokens }, (_, j) =>
              Math.exp(
                Array.from({ length: width }, (_, e) => at(0, b, i, h, e) * at(1, b, j, h, e)).reduce((s, v) => s + v) /
                  Math.sqrt(width),
              ),
            )
            const total = scores.reduce((sum, score) => sum + score)
            for (let e = 0; e < width; e += 1)
              mixed[(b * tokens + i) * dim + h * width + e] = scores.reduce(
                (sum, s, j) => sum + (s / total) * at(2, b, j, h, e),
                0,
              )
          }
      await expectClose(layer.forward(x), layer.proj.forward(tensor(mixed, { shape: [batch, tokens, dim] })), 1e-5)
    }
  })

  test('a mask of each form hides the same keys', async () => {
    const layer = new nn.Attention(12, { numHeads: 3 })
    const x = randn([2, 5, 12])
    const one = rand([5, 5]).gt(0.4)
    const many = one.unsqueeze(0).expand([2, 5, 5])
    const expected = layer.forward(x, { attnMask: one })
    await expectClose(layer.forward(x, { attnMask: many }), expected)
    await expectClose(layer.forward(x, { attnMask: many.unsqueeze(1).expand([2, 3, 5, 5]) }), expected)
    const added = one.to('float32').mul(0).maskedFill(one.eq(0), -Infinity)
    await expectClose(layer.forward(x, { attnMask: added }), expected)
  })

  test('drops weights in training only', async () => {
    const layer = new nn.Attention(12, { numHeads: 3, attnDrop: 0.5 })
    const x = randn([2, 5, 12])
    const [first, second] = [await numbers(layer.forward(x)), await numbers(layer.forward(x))]
    expect(first).not.toEqual(second)
    layer.eval()
    expect(await numbers(layer.forward(x))).toEqual(await numbers(layer.forward(x)))
  })

  test('a context of another width is looked at', () => {
    const layer = new nn.CrossAttention(8, { numHeads: 2, contextDim: 5 })
    expect(layer.forward(randn([2, 3, 8]), randn([2, 7, 5])).shape).toEqual([2, 3, 8])
    expect([...layer.stateDict().keys()]).toEqual([
      'q.weight',
      'q.bias',
      'kv.weight',
      'kv.bias',
      'proj.weight',
      'proj.bias',
    ])
    expect(() => layer.forward(randn([3, 8]), randn([2, 7, 5]))).toThrow(/\[3, 8\]/)
  })
})
