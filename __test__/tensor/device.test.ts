/** Tensors on a GPU: where they are, how they get there and back, what is refused. Needs an adapter, and says so without. */
import { afterEach, describe, expect, test } from 'vitest'
import {
  arange,
  full,
  getDefaultDevice,
  gpuAdapters,
  gpuStatistics,
  multinomial,
  noGrad,
  ones,
  operationsOnCpu,
  rand,
  randn,
  scope,
  setDefaultDevice,
  tensor,
  manualSeed,
} from '../../src/tensor/index.js'
import { Linear } from '../../src/nn/index.js'
import { AdamW } from '../../src/optim/index.js'

const there = gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')

afterEach(() => setDefaultDevice('cpu'))

describe.skipIf(!there)('on a GPU', () => {
  test('values travel both ways, in any order of memory and of any type', async () => {
    const x = arange(0, 24, 1, { dtype: 'float32' }).reshape([2, 3, 4])
    for (const view of [x, x.permute([2, 0, 1]), x.narrow(1, 1, 2), x.select(0, 1), x.narrow(0, 2, 0)]) {
      const moved = view.to('gpu')
      expect(moved.device).toBe('gpu:0')
      expect(await moved.data()).toEqual(await view.data())
      expect(await moved.to('cpu').data()).toEqual(await view.data())
      expect(
        await view
          .to('gpu')
          .permute([...view.shape.keys()].toReversed())
          .data(),
      ).toEqual(await view.permute([...view.shape.keys()].toReversed()).data())
    }
    for (const [values, dtype] of [
      [[-1n, 2n ** 40n, -(2n ** 62n)], 'int64'],
      [[0, 255, 7, 8, 9], 'uint8'],
      [[true, false, true], 'bool'],
    ] as const) {
      const own = tensor([...values] as never, { dtype })
      expect(await own.to('gpu').data()).toEqual(await own.data())
      expect(await own.to('gpu').narrow(0, 1, 2).data()).toEqual(await own.narrow(0, 1, 2).data())
    }
  })

  test('whole numbers compute in 64 bits, bytes in 8', async () => {
    const [a, b] = [tensor([2n ** 33n + 5n, -7n, 2n ** 62n]), tensor([-(2n ** 31n), 3n, 5n])]
    for (const name of ['add', 'sub', 'mul', 'maximum', 'minimum', 'lt', 'ge', 'eq'] as const) {
      expect([name, await a.to('gpu')[name](b.to('gpu')).data()]).toEqual([name, await a[name](b).data()])
    }
    const bytes = tensor([250, 3, 128], { dtype: 'uint8' })
    expect(await bytes.to('gpu').add(bytes.to('gpu')).data()).toEqual(await bytes.add(bytes).data())
    const floats = tensor([-1.5, 300.7, NaN, 1e30, -Infinity, 2 ** 40])
    for (const dtype of ['int64', 'uint8', 'bool'] as const) {
      expect([dtype, await floats.to('gpu').to(dtype).data()]).toEqual([dtype, await floats.to(dtype).data()])
    }
    expect(await a.to('gpu').to('float32').data()).toEqual(await a.to('float32').data())
  })

  test('a number and a scalar of the CPU go along; another tensor does not', async () => {
    const x = tensor([1, 2, 3]).to('gpu')
    expect(await x.add(1).mul(tensor(2)).data()).toEqual(new Float32Array([4, 6, 8]))
    expect(() => x.add(tensor([1, 2, 3]))).toThrow(/add: its inputs are on cpu \(shape \[3\]\) and gpu:0/)
    expect(() => tensor([1, 2, 3]).matmul(x)).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }))
    expect(() => x.setGrad(tensor([1, 2, 3]))).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }))
  })

  test('what a GPU has not, it refuses', () => {
    const x = tensor([1, 2, 3]).to('gpu')
    expect(() => x.to('float64')).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }))
    expect(() => x.to('gpu:no such adapter' as never)).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }))
    expect(() => x.to('tpu' as never)).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
  })

  test('what is done on the CPU takes tensors there and back, gradients too, and is counted', async () => {
    const values = [
      [2, 1],
      [1, 3],
    ]
    const [matrix, own] = [tensor(values), tensor(values, { requiresGrad: true })]
    const moved = tensor(values, { device: 'gpu', requiresGrad: true })
    const before = gpuStatistics('gpu')
    const inverse = moved.inv()
    expect([inverse.device, operationsOnCpu().includes('inv')]).toEqual(['gpu:0', true])
    inverse.square().sum().backward()
    own.inv().square().sum().backward()
    expect(moved.grad?.device).toBe('gpu:0')
    expect(await moved.grad!.data()).toEqual(await own.grad!.data())
    const counts = tensor([3n, 0n, 3n])
    const weights = tensor([0, 1, 0])
    for (const run of [
      (on: 'cpu' | 'gpu') => matrix.to(on).sub(1).nonzero(),
      (on: 'cpu' | 'gpu') => matrix.to(on).maskedSelect(matrix.to(on).gt(1)),
      (on: 'cpu' | 'gpu') => counts.to(on).bincount(null, 6),
      (on: 'cpu' | 'gpu') => counts.to(on).bincount(weights.to(on).add(2)),
      (on: 'cpu' | 'gpu') => counts.to(on).oneHot(),
      (on: 'cpu' | 'gpu') => multinomial(weights.to(on), 4, { replacement: true }),
    ]) {
      expect(run('gpu').device).toBe('gpu:0')
      expect(await run('gpu').data()).toEqual(await run('cpu').data())
    }
    const after = gpuStatistics('gpu')
    expect(after.cpuOperations - before.cpuOperations).toBe(1 + 2 * 6)
    expect(await counts.to('gpu').oneHot(4).data()).toEqual(await counts.oneHot(4).data())
    expect(gpuStatistics('gpu').cpuOperations).toBe(after.cpuOperations)
  })

  test('an index outside is told of by the next read, once', async () => {
    const x = tensor([1, 2, 3]).to('gpu')
    for (const wrong of [3n, -1n]) {
      const index = tensor([0n, wrong]).to('gpu')
      for (const run of [
        () => x.indexSelect(0, index),
        () => x.gather(0, index),
        () => x.scatter(0, index, 1),
        () => x.indexAdd(0, index, ones([2], { device: 'gpu' })),
      ]) {
        await expect(run().data()).rejects.toMatchObject({
          code: 'ERR_ARGUMENT',
          message: expect.stringContaining(`index ${wrong} does not lie in 0..3`) as string,
        })
        expect(await x.data()).toEqual(new Float32Array([1, 2, 3]))
      }
    }
    expect(await x.gather(0, tensor([2n, 0n]).to('gpu')).data()).toEqual(new Float32Array([3, 1]))
  })

  test('the default device is where tensors are made; the same seed gives the same numbers', async () => {
    manualSeed(3)
    const [uniform, normal] = [await rand([1000]).data(), await randn([1001]).data()]
    expect(setDefaultDevice('gpu')).toBe('gpu:0')
    expect(getDefaultDevice()).toBe('gpu:0')
    manualSeed(3)
    const uploaded = gpuStatistics('gpu').uploadedBytes
    const [first, second] = [rand([1000]), randn([1001])]
    expect([first.device, full([2], 1, { device: 'cpu' }).device]).toEqual(['gpu:0', 'cpu'])
    expect(await first.data()).toEqual(uniform)
    // Through a logarithm and a cosine, whose last bits differ between processors.
    const drawn = await second.data()
    for (const [i, value] of normal.entries()) expect(Math.abs(Number(drawn[i]) - Number(value))).toBeLessThan(4e-6)
    expect(gpuStatistics('gpu').uploadedBytes).toBe(uploaded)
  })

  test('modules move in place; a step of AdamW gives the weights of the CPU', async () => {
    const x = randn([8, 5])
    const weights = []
    for (const device of ['cpu', 'gpu'] as const) {
      manualSeed(1)
      const layer = new Linear(5, 3)
      const optimizer = new AdamW(layer.parameters(), { lr: 0.1 })
      const held = layer.weight
      layer.to(device)
      expect(held.device).toBe(device === 'cpu' ? 'cpu' : 'gpu:0')
      for (let step = 0; step < 3; step++) {
        layer.forward(x.to(device)).tanh().square().sum().backward()
        optimizer.step()
        optimizer.zeroGrad()
      }
      weights.push(await layer.weight.data())
    }
    for (const [i, value] of weights[0]!.entries()) expect(weights[1]![i]).toBeCloseTo(Number(value), 4)
  })

  test('a value that a backward pass needs must not be overwritten', () => {
    const x = tensor([1, 2], { device: 'gpu', requiresGrad: true })
    const y = x.mul(1).square()
    const middle = x.mul(1)
    const z = middle.square()
    noGrad(() => middle.fill_(5))
    expect(() => z.sum().backward()).toThrow(/changed in place/)
    y.sum().backward()
  })

  test('a thousand rounds leave buffers and bytes flat', () => {
    const weight = ones([8, 8], { device: 'gpu', requiresGrad: true }).keep()
    const round = () =>
      scope(() => {
        const x = ones([8, 8], { device: 'gpu' })
        x.matmul(weight).add(1).tanh().sum().backward()
        weight.setGrad(null)
      })
    for (let i = 0; i < 20; i++) round()
    const before = gpuStatistics('gpu')
    for (let i = 0; i < 1000; i++) round()
    const after = gpuStatistics('gpu')
    expect([after.liveBuffers, after.liveBytes]).toEqual([before.liveBuffers, before.liveBytes])
    expect([after.pooledBytes, after.peakBytes]).toEqual([before.pooledBytes, before.peakBytes])
    expect(after.pipelines).toBe(before.pipelines)
  })
})

test('a GPU that is not there is ERR_DEVICE', () => {
  expect(() => setDefaultDevice('gpu:17')).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }))
})
