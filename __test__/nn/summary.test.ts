/** Parameters and arithmetic of known networks, against the counts of PyTorch (torch.utils.flop_counter). */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { memory, randn } from '../../src/tensor/index.js'

describe('known networks', () => {
  test('ResNet-18 on 224 pixels: 11,689,512 parameters, 1,814,073,344 multiply-accumulates', () => {
    const found = nn.summary(nn.resnet18({ numClasses: 1000 }), [1, 3, 224, 224])
    expect(found).toMatchObject({ parameters: 11_689_512, trainableParameters: 11_689_512, macs: 1_814_073_344 })
    // Values that go through a batch norm, 2 operations each.
    expect(found.flops - 2 * found.macs).toBe(2 * 2_483_712)
    const row = (name: string) => found.rows.find((each) => each.name === name)
    expect(row('conv1')).toMatchObject({ type: 'Conv2d', outputShape: [1, 64, 112, 112], macs: 118_013_952, depth: 1 })
    expect(row('fc')).toMatchObject({ outputShape: [1, 1000], parameters: 513_000, macs: 512_000 })
    expect(row('layer4')).toMatchObject({ outputShape: [1, 512, 7, 7], parameters: 8_393_728 })
  })

  test('ConvNeXt-T on 224 pixels: 28,589,128 parameters, 4,455,531,264 multiply-accumulates', () => {
    const found = nn.summary(nn.convnextTiny({ numClasses: 1000 }), [1, 3, 224, 224])
    expect(found).toMatchObject({ parameters: 28_589_128, macs: 4_455_531_264 })
  }, 120_000)
})

describe('attention', () => {
  test('ViT-Tiny/16 on 224 pixels: 5,717,416 parameters, 1,253,683,200 multiply-accumulates', () => {
    const found = nn.summary(new nn.ViT({ embedDim: 192, depth: 12, numHeads: 3, numClasses: 1000 }), [1, 3, 224, 224])
    expect(found).toMatchObject({ parameters: 5_717_416, macs: 1_253_683_200 })
  })

  test('to a context, and torch.nn.MultiheadAttention', () => {
    const [batch, tokens, others, dim] = [2, 5, 7, 6]
    const cross = new nn.CrossAttention(dim, { numHeads: 2 })
    const scores = 2 * batch * tokens * others * dim
    expect(cross.cost([randn([1]), randn([batch, others, dim])], randn([batch, tokens, dim])).macs).toBe(scores)
    const whole = nn.summary(new nn.MultiheadAttention(dim, 3, { batchFirst: true }), [batch, tokens, dim])
    expect(whole.macs).toBe(4 * batch * tokens * dim * dim + 2 * batch * tokens * tokens * dim)
    expect(nn.summary(new nn.MultiheadAttention(dim, 3), [tokens, dim]).macs).toBe(whole.macs / batch)
  })
})

describe('rules', () => {
  test('counts grow with the batch, parameters do not', () => {
    const layer = new nn.Sequential(new nn.Conv2d(2, 6, 3, { groups: 2, padding: 1 }), new nn.GroupNorm(2, 6))
    const [one, four] = [nn.summary(layer, [1, 2, 5, 5]), nn.summary(layer, [4, 2, 5, 5])]
    expect(one).toMatchObject({ parameters: 60 + 12, macs: 6 * 25 * 9, flops: 2 * 6 * 25 * 9 + 5 * 6 * 25 })
    expect(four).toMatchObject({ parameters: 72, macs: 4 * one.macs, flops: 4 * one.flops })
  })

  test('transposed and one-axis convolutions', () => {
    expect(nn.summary(new nn.ConvTranspose2d(4, 6, 3, { stride: 2, groups: 2 }), [1, 4, 5, 5]).macs).toBe(
      4 * 25 * 3 * 9,
    )
    expect(nn.summary(new nn.Conv1d(4, 6, 3, { groups: 2 }), [1, 4, 10]).macs).toBe(6 * 8 * 2 * 3)
  })

  test('frozen parameters, and layers that are used twice', () => {
    const shared = new nn.Linear(4, 4)
    const twice = new nn.Sequential(shared, new nn.ReLU(), shared)
    expect(nn.summary(twice, [3, 4])).toMatchObject({ parameters: 20, macs: 2 * 3 * 16 })
    nn.freeze(twice, '0.bias')
    expect(nn.summary(twice, [3, 4])).toMatchObject({ parameters: 20, trainableParameters: 16 })
  })

  test('nothing of the module changes: modes, statistics, hooks, memory', async () => {
    const model = nn.resnet18({ lowResolution: true })
    model.layer1.eval()
    const before = await model.bn1.runningMean?.data()
    nn.summary(model, [2, 3, 8, 8])
    const live = memory().liveBuffers
    nn.summary(model, [2, 3, 8, 8])
    expect(memory().liveBuffers).toBe(live)
    expect([model.training, model.layer1.at(0).training, model.layer2.at(0).training]).toEqual([true, false, true])
    expect(await model.bn1.runningMean?.data()).toEqual(before)
    expect(Object.hasOwn(model.conv1, 'forward')).toBe(false)
  })

  test('a forward that fails leaves no hook and no changed mode', () => {
    const model = new nn.Sequential(new nn.Linear(4, 2))
    expect(() => nn.summary(model, [1, 3])).toThrow(/\[1, 3\].*\[2, 4\]/)
    expect([model.training, Object.hasOwn(model.at(0), 'forward')]).toEqual([true, false])
  })
})

test('the table: names are indented, deep layers are in the rows above them', () => {
  const model = new nn.Sequential(new nn.Sequential(new nn.Conv2d(3, 8, 3), new nn.ReLU()), new nn.Flatten())
  nn.freeze(model)
  const table = nn.summaryTable(nn.summary(model, [1, 3, 32, 32]), { depth: 1 }).split('\n')
  expect(table[0]).toMatch(/^layer +type +output +parameters +trainable +MACs +FLOPs$/)
  expect(table[2]).toMatch(/^ {2}0 +Sequential +\[1, 8, 30, 30\] +224 +frozen +194\.40 k +388\.80 k$/)
  expect(table.length).toBe(6)
  expect(table.at(-1)).toMatch(/^input \[1, 3, 32, 32\]: 224 parameters, 0 trainable; 194\.40 k multiply-accumulates/)
})

test('what a summary counted is what runs', () => {
  const model = nn.mlp([6, 5, 4])
  const found = nn.summary(model, [7, 6])
  expect(found.rows.at(-2)?.outputShape).toEqual(model.forward(randn([7, 6])).shape)
})
