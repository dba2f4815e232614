/** Networks of masked and self-distilling methods: mask tokens, what is left out, heads, and evaluation amid training. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { Generator, generatorOfBatch, manualSeed, randn, tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { numbers } from './close.js'

const vit = (options: nn.VisionTransformerOptions = {}) =>
  new nn.VisionTransformer({ imgSize: 8, patchSize: 4, embedDim: 8, depth: 3, numHeads: 2, ...options })
const images = (seed = 0) => randn([2, 3, 8, 8], { generator: new Generator(seed) })

describe('MaskTokenEncoder', () => {
  test('without a mask it is the network, whichever way that pools', async () => {
    for (const options of [{}, { globalPool: 'avg' }, { classToken: false, globalPool: 'avg' }] as const) {
      const network = vit(options)
      const { embedding, mean, patches } = new nn.MaskTokenEncoder(network).forward(images())
      expect(await numbers(embedding)).toEqual(await numbers(network.forward(images())))
      const tokens = network.forwardFeatures(images())
      const prefix = network.numPrefixTokens
      expect(await numbers(patches)).toEqual(await numbers(tokens.narrow(1, prefix, 4)))
      expect(await numbers(mean)).toEqual(await numbers(network.fcNorm.forward(tokens.narrow(1, prefix, 4).mean(1))))
    }
  })

  test('pixels of a hidden patch reach nothing; those of others do', async () => {
    const encoder = new nn.MaskTokenEncoder(vit())
    const mask = tensor([[0, 1, 0, 0], [0, 1, 0, 0]]) // prettier-ignore
    /** Brighter in the patch that begins there. */
    const changed = (row: number, column: number): Tensor => {
      const inside = (at: number) =>
        Math.floor(at / 8) - row < 4 && Math.floor(at / 8) >= row && Math.floor((at % 8) / 4) * 4 === column
      const more = tensor(Array.from({ length: 64 }, (_, at) => (inside(at) ? 3 : 0))).reshape([1, 1, 8, 8])
      return images().add(more)
    }
    const seen = async (input: Tensor) => numbers(encoder.forward(input, { mask }).patches)
    expect(await seen(changed(0, 4))).toEqual(await seen(images()))
    expect(await seen(changed(4, 4))).not.toEqual(await seen(images()))
  })

  test('the mean of the last blocks is that of the blocks’ outputs', async () => {
    const network = vit()
    const outputs: Tensor[] = []
    for (const block of network.blocks) block.registerForwardHook((_, output) => void outputs.push(output))
    const { blocks } = new nn.MaskTokenEncoder(network).forward(images(), { lastBlocks: 2 })
    const expected = outputs.slice(1).map((output) => output.narrow(1, 1, 4))
    const mean = await numbers(expected[0]!.add(expected[1]!).div(2))
    for (const [i, value] of (await numbers(blocks!)).entries()) expect(value).toBeCloseTo(mean[i]!, 5)
  })

  test('refuses a mask of another grid, and more blocks than there are', () => {
    const encoder = new nn.MaskTokenEncoder(vit())
    expect(() => encoder.forward(images(), { mask: zeros([2, 9]) })).toThrow(/\[2, 4\]/)
    expect(() => encoder.forward(images(), { lastBlocks: 4 })).toThrow(/at most 3/)
  })
})

test('takeAnyImageSize lets a network of one size see others', () => {
  const network = vit()
  const small = randn([2, 3, 4, 4])
  expect(() => network.forward(small)).toThrow(/made for 8×8/)
  nn.takeAnyImageSize(network)
  expect(network.forward(small).shape).toEqual([2, 8])
})

test('randomMask hides so many squares of each image, on the grid of squares, and says which patches these are', async () => {
  const { mask, hidden } = nn.randomMask(5, [4, 6], { maskRatio: 0.6, unit: 2, generator: new Generator(3) })
  expect([mask.shape, hidden.shape]).toEqual([[5, 24], [5, 16]]) // prettier-ignore
  const values = await numbers(mask)
  const places = await numbers(hidden)
  for (let image = 0; image < 5; image += 1) {
    const own = values.slice(image * 24, image * 24 + 24)
    expect(places.slice(image * 16, image * 16 + 16)).toEqual([...own.keys()].filter((place) => own[place] === 1))
    for (const [row, column] of [
      [0, 0],
      [0, 2],
      [0, 4],
      [2, 0],
      [2, 2],
      [2, 4],
    ] as const) {
      // prettier-ignore
      const square = [0, 1, 6, 7].map((step) => own[row * 6 + column + step])
      expect(new Set(square).size).toBe(1)
    }
  }
  expect(
    new Set([0, 1, 2, 3, 4].map((image) => values.slice(image * 24, image * 24 + 24).join())).size,
  ).toBeGreaterThan(1)
  expect(() => nn.randomMask(1, [4, 6], { unit: 4 })).toThrow(/divisor of the grid of 4×6/)
  expect(() => nn.randomMask(1, [4, 6], { maskRatio: 1 })).toThrow(/below 1/)
})

test('generatorOfBatch: other numbers for another batch, the same for the same, and never those of the seed itself', () => {
  const drawn = (seed: number, batch: number) => generatorOfBatch(seed, batch).permutation(50).join()
  expect(drawn(1, 7)).toBe(drawn(1, 7))
  expect(new Set([drawn(1, 7), drawn(1, 8), drawn(2, 7), new Generator(1).permutation(50).join()]).size).toBe(4)
})

describe('DINOHead', () => {
  test('has the parameters of the PyTorch library, and unit vectors before the prototypes', async () => {
    const head = new nn.DINOHead(6, { hiddenDim: 5, bottleneckDim: 4, prototypes: 3 })
    expect([...head.stateDict()].map(([name, { shape }]) => `${name} ${shape.join('x')}`)).toEqual([
      '0.weight 5x6', '0.bias 5', '2.weight 5x5', '2.bias 5', '4.weight 4x5', '4.bias 4', '6.weight 3x4',
    ]) // prettier-ignore
    let before: Tensor | undefined
    head.at(5).registerForwardHook((_, output) => void (before = output))
    const scores = head.forward(randn([7, 6]))
    expect(scores.shape).toEqual([7, 3])
    for (const length of await numbers(before!.norm(2, 1))) expect(length).toBeCloseTo(1, 5)
  })

  test('frozen, it gives the same scores, and gradients to all but the prototypes', async () => {
    const head = new nn.DINOHead(6, { hiddenDim: 5, bottleneckDim: 4, prototypes: 3 })
    const input = randn([7, 6])
    expect(await numbers(head.forward(input, { freezeLast: true }))).toEqual(await numbers(head.forward(input)))
    head.forward(input, { freezeLast: true }).square().sum().backward()
    const without = [...head.namedParameters()].filter(([, { grad }]) => !grad).map(([name]) => name)
    expect(without).toEqual(['6.weight'])
  })
})

test('inEvaluation: no dropout, no gradient, and the modes of before, also after an error', () => {
  const network = new nn.Sequential(new nn.Linear(4, 4), new nn.Dropout(0.5))
  network.at(0).eval()
  const output = nn.inEvaluation(network, () => network.forward(randn([3, 4])))
  expect(output.requiresGrad).toBe(false)
  const modes = () => network.modules().map(({ training }) => training)
  expect(modes()).toEqual([true, false, true])
  expect(() =>
    nn.inEvaluation(network, () => {
      expect(modes()).toEqual([false, false, false])
      throw new Error('inside')
    }),
  ).toThrow('inside')
  expect(modes()).toEqual([true, false, true])
})

test('scaleResiduals_ divides what block i adds by √(2i), and nothing else', async () => {
  manualSeed(4)
  const before = vit()
  manualSeed(4)
  const after = vit()
  nn.init.scaleResiduals_(after.blocks)
  for (const [name, weight] of before.namedParameters()) {
    const layer = /^blocks\.(\d+)\.(attn\.proj|mlp\.fc2)\.weight$/.exec(name)?.[1]
    const factor = layer === undefined ? 1 : 1 / Math.sqrt(2 * (Number(layer) + 1))
    const found = await numbers(new Map(after.namedParameters()).get(name)!)
    for (const [i, value] of (await numbers(weight)).entries()) expect(found[i]).toBeCloseTo(value * factor, 6)
  }
})

test('a backbone beside a decoder with a tensor of the same name is found in a checkpoint by all its names', async () => {
  const { mkdtemp, rm } = await import('node:fs/promises')
  const { tmpdir } = await import('node:os')
  const { join } = await import('node:path')
  const { writeSafetensors } = await import('../../src/tensor/index.js')
  const folder = await mkdtemp(join(tmpdir(), 'spt-mae-'))
  const encoder = new nn.MaskedEncoder(vit({ classToken: false, globalPool: 'avg' }))
  const decoder = new nn.MAEDecoder({
    embedDim: 8,
    decoderEmbedDim: 8,
    outputDim: 48,
    numPatches: 4,
    depth: 1,
    numHeads: 2,
  })
  const all = new nn.ModuleDict<nn.Module<unknown>>({ decoder, encoder }).stateDict()
  await writeSafetensors(join(folder, 'run.safetensors'), all)
  const fresh = vit({ classToken: false, globalPool: 'avg' })
  await nn.loadPretrained(fresh, join(folder, 'run.safetensors'), {})
  expect(await numbers(fresh.forward(images()))).toEqual(await numbers(encoder.vit.forward(images())))
  expect([nn.isPretrained(fresh), nn.isPretrained(encoder.vit)]).toEqual([true, false])
  await rm(folder, { recursive: true })
})
