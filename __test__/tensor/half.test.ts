/** bfloat16 and float16: rounding as PyTorch's, storage, views, and operations by way of float32. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromHalfBits } from '../../src/native.js'
import { arange, cat, full, noGrad, ones, tensor, type Tensor, zeros } from '../../src/tensor/index.js'

const kinds = ['bfloat16', 'float16'] as const
const fixture = JSON.parse(readFileSync(new URL('../fixtures/half/rounding.json', import.meta.url), 'utf8')) as Record<
  'float32' | 'bfloat16' | 'float16',
  number[]
>

/** All NaN are one. */
const canonical = (kind: string) => (bits: number) =>
  (bits & 0x7fff) > (kind === 'bfloat16' ? 0x7f80 : 0x7c00) ? 'NaN' : bits

test.each(kinds)('%s: rounded as PyTorch rounds, ties, denormals, infinity and NaN among them', async (kind) => {
  const values = new Float32Array(Uint32Array.from(fixture.float32).buffer)
  const bits = await tensor(values).to(kind).halfBits()
  expect(Array.from(bits, canonical(kind))).toEqual(fixture[kind].map(canonical(kind)))
  // float64 goes by way of float32, as in PyTorch.
  const double = await tensor(Float64Array.from(values)).to(kind).halfBits()
  expect(Array.from(double, canonical(kind))).toEqual(Array.from(bits, canonical(kind)))
})

test.each(kinds)('%s: every value survives the way to float32 and back', async (kind) => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i)
  const stored = fromHalfBits(all, [256, 256], kind)
  expect([stored.dtype, stored.shape, stored.numel]).toEqual([kind, [256, 256], 65536])
  const back = await stored.to('float32').to(kind).halfBits()
  const bits = canonical(kind)
  expect(Array.from(all).filter((value) => bits(value) !== bits(back[value] as number))).toEqual([])
  const [narrow, wide] = [await stored.data(), await stored.to('float32').data()]
  expect(Array.from(all).filter((value) => !Object.is(narrow[value], wide[value]))).toEqual([])
})

test.each(kinds)('%s: made, read, viewed, joined', async (kind) => {
  const x = tensor(
    [
      [1, 2, 3],
      [4, 5, 6.5],
    ],
    { dtype: kind },
  )
  expect(await x.t().data()).toEqual(Float32Array.of(1, 4, 2, 5, 3, 6.5))
  expect(await x.select(1, 2).data()).toEqual(Float32Array.of(3, 6.5))
  expect(await cat([x, x.narrow(0, 0, 1)]).data()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6.5, 1, 2, 3))
  expect(await tensor(2.5, { dtype: kind }).item()).toBe(2.5)
  expect([zeros([2], { dtype: kind }).dtype, full([2], 3, { dtype: kind }).dtype]).toEqual([kind, kind])
  expect(await arange(0, 3, 1, { dtype: kind }).data()).toEqual(Float32Array.of(0, 1, 2))
  // A view shares the memory.
  const row = x.select(0, 0)
  noGrad(() => x.copy_(ones([2, 3])))
  expect(await row.data()).toEqual(Float32Array.of(1, 1, 1))
})

test('promotion is that of PyTorch', () => {
  const of = (dtype: 'bfloat16' | 'float16' | 'float32' | 'float64' | 'int64') => ones([1], { dtype })
  const sum = (a: Tensor, b: Tensor) => a.add(b).dtype
  expect(sum(of('bfloat16'), of('bfloat16'))).toBe('bfloat16')
  expect(sum(of('bfloat16'), of('int64'))).toBe('bfloat16')
  expect(sum(of('bfloat16'), of('float16'))).toBe('float32')
  expect(sum(of('float16'), of('float32'))).toBe('float32')
  expect(sum(of('bfloat16'), of('float64'))).toBe('float64')
  expect(of('bfloat16').add(1.5).dtype).toBe('bfloat16')
})

test('an operation computes in float32 and rounds once; its gradient has the type of its input', async () => {
  const x = tensor([0.1, 1, -3], { dtype: 'bfloat16' })
  x.requiresGrad = true
  const y = x.exp().mul(3)
  expect(y.dtype).toBe('bfloat16')
  y.sum().backward()
  const wide = x.detach().to('float32')
  const rounded = wide.exp().to('bfloat16').to('float32').mul(3).to('bfloat16')
  expect(await y.data()).toEqual(await rounded.data())
  expect(x.grad?.dtype).toBe('bfloat16')
})

test('what takes neither says what to do', () => {
  expect(() => tensor([1]).to('float8' as never)).toThrow(/bfloat16, float16/)
  expect(() => tensor([1], { dtype: 'bfloat16' }).matmul(tensor([1]))).toThrow(
    expect.objectContaining({ code: 'ERR_DTYPE', message: expect.stringContaining('.to(') }),
  )
  expect(() => fromHalfBits(new Uint16Array(3), [2], 'bfloat16')).toThrow(
    expect.objectContaining({ code: 'ERR_SHAPE' }),
  )
  expect(() => fromHalfBits(new Uint16Array(3), [3], 'float32' as never)).toThrow(
    expect.objectContaining({ code: 'ERR_DTYPE' }),
  )
})
