/** Mixed precision: which operations it touches, how exact they and their gradients are, what the trainer makes of it. */
import { afterEach, describe, expect, test } from 'vitest'
import { cpuInfo, forceInstructionSet, manualSeed, randn, setNumThreads, type Tensor } from '../../src/tensor/index.js'
import { autocast, getNumThreads, isAutocastEnabled, noGrad, tensor } from '../../src/tensor/index.js'

const threads = getNumThreads()
afterEach(() => {
  forceInstructionSet(null)
  setNumThreads(threads)
})

/** As a layer before would have left it. */
const narrow = (x: Tensor): Tensor => (isAutocastEnabled() ? x.to('bfloat16') : x)

type Product = (inputs: Tensor[]) => Tensor
const products: [name: string, shapes: number[][], run: Product][] = [
  [
    'matmul',
    [
      [37, 70],
      [70, 45],
    ],
    ([a, b]) => narrow(a!).matmul(b!),
  ],
  [
    'matmul of batches',
    [
      [3, 5, 17, 20],
      [3, 5, 20, 9],
    ],
    ([a, b]) => a!.matmul(narrow(b!)),
  ],
  ['linear', [[2, 50, 33], [40, 33], [40]], ([x, w, b]) => x!.linear(w!, b!)],
  ['conv2d by Winograd', [[2, 32, 12, 12], [32, 32, 3, 3], [32]], ([x, w, b]) => x!.conv2d(w!, b!, 1, 1)],
  ['conv2d with stride', [[2, 5, 11, 12], [9, 5, 3, 3], [9]], ([x, w, b]) => x!.conv2d(w!, b!, 2, 1)],
  [
    'conv2d in groups',
    [
      [2, 6, 9, 9],
      [8, 3, 3, 3],
    ],
    ([x, w]) => x!.conv2d(w!, null, 1, 1, 1, 2),
  ],
  [
    'conv2d of each channel',
    [
      [2, 6, 9, 9],
      [6, 1, 3, 3],
    ],
    ([x, w]) => x!.conv2d(w!, null, 1, 1, 1, 6),
  ],
  [
    'conv2d of pixels',
    [
      [2, 40, 5, 5],
      [50, 40, 1, 1],
    ],
    ([x, w]) => x!.conv2d(w!),
  ],
  ['conv2d of patches', [[3, 3, 16, 16], [24, 3, 4, 4], [24]], ([x, w, b]) => x!.conv2d(w!, b!, 4)],
  [
    'convTranspose2d',
    [
      [2, 6, 5, 5],
      [6, 4, 3, 3],
    ],
    ([x, w]) => x!.convTranspose2d(w!, null, 2, 1, 1),
  ],
  [
    'attention',
    [
      [2, 3, 20, 16],
      [2, 3, 20, 16],
      [2, 3, 20, 16],
    ],
    ([q, k, v]) => q!.scaledDotProductAttention(k!, v!),
  ],
]

/** Value and gradients of Σ weight · result, in float64 or under autocast in float32. */
async function outcome(shapes: number[][], run: Product, mixed: boolean): Promise<Float64Array[]> {
  manualSeed(3)
  const inputs = shapes.map((shape) => randn(shape).to(mixed ? 'float32' : 'float64'))
  for (const input of inputs) input.requiresGrad = true
  const result = mixed ? autocast('bfloat16', () => run(inputs)) : run(inputs)
  expect(result.dtype).toBe(mixed ? 'bfloat16' : 'float64')
  result.backward(randn(result.shape).to(result.dtype))
  const found = [result, ...inputs.map((input) => input.grad as Tensor)]
  expect(found.slice(1).map(({ dtype }) => dtype)).toEqual(inputs.map(({ dtype }) => dtype))
  return Promise.all(found.map(async (one) => Float64Array.from((await one.data()) as Float32Array)))
}

/** Largest difference, as part of the root mean square of what is expected. */
function error(found: Float64Array, expected: Float64Array): number {
  const scale = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length)
  return found.reduce((most, value, i) => Math.max(most, Math.abs(value - (expected[i] as number))), 0) / scale
}

const sets = cpuInfo().available
describe.each(sets)('on %s', (set) => {
  // bfloat16 has a relative step of 2⁻⁸; several rounded factors and a rounded result stay within a few of them.
  test.each(products)('%s and its gradients are those of float64 to bfloat16', async (_, shapes, run) => {
    forceInstructionSet(set)
    const expected = await outcome(shapes, run, false)
    const found = await outcome(shapes, run, true)
    const errors = found.map((one, i) => error(one, expected[i] as Float64Array))
    expect(Math.max(...errors)).toBeLessThan(8 * 2 ** -8)
    // And it did round: float32 would be a thousand times closer.
    expect(Math.max(...errors)).toBeGreaterThan(2 ** -12)
  })
})

test.each(products)('%s has the same bits for any number of threads', async (_, shapes, run) => {
  const bits = async (count: number) => {
    setNumThreads(count)
    return outcome(shapes, run, true)
  }
  expect(await bits(1)).toEqual(await bits(3))
})

test('everything else stays in float32, and float64 is left alone', () => {
  const x = randn([4, 6])
  autocast('bfloat16', () => {
    const y = x.linear(x)
    expect(y.dtype).toBe('bfloat16')
    expect([y.matmul(x).dtype, x.t().matmul(y).dtype, x.matmul(x.t()).dtype]).toEqual([
      'bfloat16',
      'bfloat16',
      'float32',
    ])
    for (const float of [y.softmax(1), y.sum(), y.logSoftmax(1), y.exp(), y.add(x.sum()), y.layerNorm([4])]) {
      expect(float.dtype).toBe('float32')
    }
    expect(y.reshape([16]).dtype).toBe('bfloat16')
    const double = x.to('float64')
    expect(double.matmul(double.t()).dtype).toBe('float64')
    autocast(null, () => expect(x.linear(x).dtype).toBe('float32'))
    expect(isAutocastEnabled()).toBe(true)
  })
  expect(isAutocastEnabled()).toBe(false)
})

test('layers around batch norm are as near to float64 as rounding allows; rectifiers keep the type they get', async () => {
  const run = async (mixed: boolean) => {
    manualSeed(5)
    const of = (shape: number[]) => randn(shape).to(mixed ? 'float32' : 'float64')
    const [x, w, scale, shift] = [of([4, 8, 9, 9]), of([8, 8, 3, 3]), of([8]), of([8])]
    for (const leaf of [x, w, scale, shift]) leaf.requiresGrad = true
    const forward = () => {
      const y = x.conv2d(w, null, 1, 1).batchNorm(null, null, scale, shift, true).relu()
      return y.add(x.conv2d(w, null, 1, 1)).gelu()
    }
    const y = mixed ? autocast('bfloat16', forward) : forward()
    y.backward(randn(y.shape).to(y.dtype))
    const gradients = [x, w, scale, shift].map((leaf) => leaf.grad as Tensor)
    expect(gradients.map(({ dtype }) => dtype)).toEqual([x, w, scale, shift].map(({ dtype }) => dtype))
    const values = [y, ...gradients].map(async (one) => Float64Array.from(await one.data(), Number))
    return { dtype: y.dtype, values: await Promise.all(values) }
  }
  const [mixed, exact] = [await run(true), await run(false)]
  expect(mixed.dtype).toBe('float32')
  const narrow16 = randn([4, 4]).to('bfloat16')
  expect([narrow16.relu().dtype, narrow16.gelu().dtype, narrow16.add(narrow16).dtype]).toEqual(
    Array(3).fill('bfloat16'),
  )
  const errors = mixed.values.map((one, i) => error(one, exact.values[i] as Float64Array))
  // Rectifiers whose input lies near 0 may switch: the largest error is of single elements.
  expect(Math.max(...errors)).toBeLessThan(0.5)
  const mean = (i: number) => {
    const [a, b] = [mixed.values[i], exact.values[i]] as [Float64Array, Float64Array]
    const square = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0)
    return Math.sqrt(square(a.map((value, k) => value - (b[k] as number))) / square(b))
  }
  expect(Math.max(...errors.map((_, i) => mean(i)))).toBeLessThan(0.02)
})

test('it ends when its code ends, however that ends', async () => {
  expect(() =>
    autocast('bfloat16', () => {
      throw new Error('inside')
    }),
  ).toThrow('inside')
  expect(isAutocastEnabled()).toBe(false)
  const slow = autocast('bfloat16', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1))
    return isAutocastEnabled()
  })
  expect(await slow).toBe(true)
  expect(isAutocastEnabled()).toBe(false)
  expect(() => autocast('float32' as never, () => 0)).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }))
})

test('each device has its own type: on a CPU float16 leaves float32 as it is', () => {
  const x = tensor([[1.0001, 1]])
  expect(noGrad(() => autocast('float16', () => x.linear(x))).dtype).toBe('float32')
  expect(noGrad(() => autocast('bfloat16', () => x.linear(x))).dtype).toBe('bfloat16')
})

test('NaN and infinity pass through, denormals are zeros', async () => {
  const x = tensor([
    [NaN, 1],
    [Infinity, 1],
    [1e-40, 0],
  ])
  const product = noGrad(() => autocast('bfloat16', () => x.linear(tensor([[1, 1]]))))
  const values = Array.from(await product.data(), Number)
  expect(values.slice(0, 2)).toEqual([NaN, Infinity])
  expect(Math.abs(values[2] as number)).toBeLessThan(1.1e-40)
})
