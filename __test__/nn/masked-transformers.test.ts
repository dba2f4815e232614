/** Transformers that see part of the patches: encoder, decoder, predictor; what they leave out, what they refuse. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { arange, randn, tensor, zeros, type Tensor } from '../../src/tensor/index.js'
import { expectClose, numbers } from './close.js'

const vit = () => new nn.VisionTransformer({ imgSize: 16, patchSize: 4, embedDim: 8, depth: 2, numHeads: 2 })
const kept = tensor([
  [3n, 0n, 9n],
  [15n, 4n, 5n],
])

describe('masked encoder', () => {
  test('visible patches keep their positions, hidden ones have no influence', async () => {
    const encoder = new nn.MaskedEncoder(vit())
    const images = randn([2, 3, 16, 16])
    const { encoded, mask, idsKeep, gridSize } = encoder.forward(images, { idsKeep: kept })
    expect([encoded.shape, mask.shape, idsKeep.shape, gridSize]).toEqual([
      [2, 4, 8],
      [2, 16],
      [2, 3],
      [4, 4],
    ])
    expect((await numbers(mask)).flatMap((value, place) => (value === 0 ? [place] : []))).toEqual([0, 3, 9, 20, 21, 31])
    // Patch 1 of both images is hidden: its pixels may be anything.
    const pixels = Float32Array.from({ length: 256 }, (_, i) => Number(!(i < 64 && i % 16 >= 4 && i % 16 < 8)))
    const changed = images.mul(tensor(pixels, { shape: [16, 16] }))
    await expectClose(encoder.forward(changed, { idsKeep: kept }).encoded, encoded)
    // All patches in another order are the same tokens in that order.
    const backwards = arange(16).flip(0).unsqueeze(0).expand([2, 16])
    const whole = encoder.forward(images, { idsKeep: backwards }).encoded
    encoder.eval()
    const plain = encoder.forward(images, { idsKeep: kept })
    await expectClose(whole.narrow(1, 1, 16).flip(1), plain.encoded.narrow(1, 1, 16), 1e-5)
    expect(await numbers(plain.mask)).toEqual(Array.from({ length: 32 }, () => 0))
  })

  test('a masking is asked in training, for the grid of the images', () => {
    const asked: unknown[] = []
    const masking: nn.Masking = (batch, grid) => (asked.push([batch, grid]), kept)
    const encoder = new nn.MaskedEncoder(vit(), { masking })
    expect(encoder.forward(randn([2, 3, 16, 16])).encoded.shape).toEqual([2, 4, 8])
    expect(encoder.eval().forward(randn([2, 3, 16, 16])).encoded.shape).toEqual([2, 17, 8])
    expect(asked).toEqual([[2, [4, 4]]])
    expect(() => encoder.train().forward(randn([1, 3, 16, 16]))).toThrow(/\[1, visible patches\].*\[2, 3\]/)
  })
})

describe('MAE decoder', () => {
  const decoder = new nn.MAEDecoder({
    embedDim: 8,
    decoderEmbedDim: 12,
    outputDim: 5,
    numPatches: 16,
    depth: 1,
    numHeads: 2,
  })
  const hidden = (visible: Tensor) =>
    tensor(new Float32Array(32).fill(1), { shape: [2, 16] }).scatterAdd(1, visible, zeros(visible.shape).sub(1))

  test('masked patches alone are those of the whole output, in ascending order', async () => {
    const [x, mask] = [randn([2, 3, 8]), hidden(kept)]
    const all = decoder.forward(x, mask, { idsKeep: kept })
    const masked = decoder.forward(x, mask, { idsKeep: kept, outputMaskedOnly: true })
    expect([all.shape, masked.shape]).toEqual([
      [2, 16, 5],
      [2, 13, 5],
    ])
    const rows = mask.reshape([32]).nonzero().reshape([26])
    await expectClose(all.reshape([32, 5]).indexSelect(0, rows), masked.reshape([26, 5]), 1e-5)
  })

  test('visible tokens may come among all, and in ascending order without places', async () => {
    const x = randn([2, 16, 8])
    const places = tensor([
      [0n, 3n, 9n],
      [4n, 5n, 15n],
    ])
    const visible = x.gather(1, places.unsqueeze(-1).expand([2, 3, 8]))
    const expected = decoder.forward(visible, hidden(places), { idsKeep: places })
    await expectClose(decoder.forward(visible, hidden(places)), expected)
    await expectClose(decoder.forward(x, hidden(places), { idsKeep: places }), expected)
    expect(() => decoder.forward(x, hidden(places))).toThrow(/idsKeep/)
    expect(() => decoder.forward(visible, zeros([3, 16]))).toThrow(/\[2, patches\].*\[3, 16\]/)
  })
})

describe('flexible transformer', () => {
  const sizes = { inputDim: 6, hiddenDim: 8, outputDim: 4, numPatches: 9, depth: 2, numHeads: 2, numPrefixTokens: 0 }

  test('starts at zero output, and its steps behind closed gates', async () => {
    const start = new nn.FlexibleTransformer(sizes)
    const call = { queries: randn([2, 3, 6]), t: tensor([0, 5]) }
    expect((await numbers(start.forward(randn([2, 4, 6]), call))).every((value) => value === 0)).toBe(true)
    const open = new nn.FlexibleTransformer({ ...sizes, zeroInitOutput: false })
    // No gate is open: the context cannot be seen.
    await expectClose(open.forward(randn([2, 4, 6]), call), open.forward(randn([2, 4, 6]), call))
    expect(() => open.forward(randn([2, 4, 6]), { queries: call.queries })).toThrow(/t: expected times/)
    expect(() => open.forward(randn([2, 4, 6]), { t: call.t })).toThrow(/queries/)
  })

  test('one sequence: all tokens come out in the order of their places, prefix first, registers never', async () => {
    const options = {
      ...sizes,
      crossAttn: false,
      useAdaln: false,
      zeroInitOutput: false,
      numRegisters: 2,
      numPrefixTokens: 1,
    }
    const transformer = new nn.FlexibleTransformer(options)
    const [context, queries] = [randn([1, 3, 6]), randn([1, 2, 6])]
    const places = { contextIdx: tensor([[7n, 2n]]), queryIdx: tensor([[4n, 0n]]) }
    const asked = transformer.forward(context, { queries, ...places })
    const all = transformer.forward(context, { queries, ...places, returnAll: true })
    expect([asked.shape, all.shape]).toEqual([
      [1, 2, 4],
      [1, 5, 4],
    ])
    // Places 0, 2, 4, 7 after the prefix: the queries' are the first and the third.
    await expectClose(all.narrow(1, 1, 1), asked.narrow(1, 1, 1))
    await expectClose(all.narrow(1, 3, 1), asked.narrow(1, 0, 1))
    expect(transformer.forward(context).shape).toEqual([1, 3, 4])
    expect(() => transformer.forward(context, { queries, contextIdx: tensor([[7n]]) })).toThrow(/2 tokens.*\[1, 1\]/)
    expect(() => transformer.forward(context, { queries, queryMask: zeros([1, 2]) })).toThrow(/addMaskToken/)
  })

  test('a table that its grid does not fill is refused', () => {
    expect(() => new nn.FlexibleTransformer({ ...sizes, numPatches: 10 })).toThrow(/10 patches.*3/)
    expect(new nn.FlexibleTransformer({ ...sizes, numPatches: 10, gridSize: [2, 5] }).posEmbed?.shape).toEqual([
      1, 10, 8,
    ])
    expect(new nn.FlexibleTransformer({ ...sizes, posEmbedType: 'none' }).posEmbed).toBe(null)
  })
})

test('an embedding looks its indices up in its own weight', async () => {
  const embedding = new nn.Embedding(5, 3)
  await expectClose(embedding.forward(tensor([[4n, 0n]])).select(1, 0), embedding.weight.narrow(0, 4, 1))
})
