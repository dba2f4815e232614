/** Every operation that is exported to ONNX, against onnxruntime; and what cannot be exported, by its error. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { arange, cat, exportOnnx, full, manualSeed, nn, ones, rand, randn, scope, stack } from '../../src/index.js'
import { tensor, Tensor, where, zeros } from '../../src/index.js'
import { operations } from '../../src/native.js'
import { operators } from '../../src/onnx/operators/index.js'
import { compareWithOnnxruntime, type OnnxCase, type OnnxResult } from './onnx.js'
import { pythonWith } from './python.js'

class Calls extends nn.Module<unknown> {
  readonly #run: (x: Tensor) => unknown

  constructor(run: (x: Tensor) => unknown) {
    super()
    this.#run = run
  }

  forward(x: Tensor): unknown {
    return this.#run(x)
  }
}

manualSeed(0)
const weight = randn([6, 4, 3, 3])
const depthwise = randn([4, 1, 3, 3])
const channel = rand([4]).add(0.5)
const row = randn([6])
const matrix = randn([5, 6])
const index = tensor(BigInt64Array.of(3n, 0n, 3n))
const places = tensor(BigInt64Array.of(5n, 0n, 2n, 2n), { shape: [1, 1, 1, 4] })
const key = randn([3, 5, 6])

/** On [batch, 4, 6, 6]; by the name of the operation, what else is tried after a colon. */
const calls: Record<string, (x: Tensor) => unknown> = {
  ...Object.fromEntries(
    (
      'neg abs exp sign sin cos tanh erf floor ceil round relu sigmoid square expm1 logSigmoid silu geluExact ' +
      'geluTanh detach clone contiguous channelsLast'
    )
      .split(' ')
      .map((name) => [name, (x: Tensor) => (x as unknown as Record<string, () => Tensor>)[name]?.()]),
  ),
  log: (x) => x.abs().add(0.1).log(),
  sqrt: (x) => x.abs().sqrt(),
  rsqrt: (x) => x.abs().add(0.1).rsqrt(),
  reciprocal: (x) => x.abs().add(0.1).reciprocal(),
  gelu: (x) => x.gelu(),
  'gelu: tanh': (x) => x.gelu('tanh'),
  leakyRelu: (x) => x.leakyRelu(0.3),
  elu: (x) => x.elu(0.7),
  softplus: (x) => x.softplus(),
  'softplus: beta': (x) => x.softplus(2),
  clamp: (x) => x.clamp(-0.5, 0.5),
  'clamp: one side': (x) => x.clamp(null, 0.5),
  add: (x) => x.add(row),
  'add: a number': (x) => x.add(0.5),
  sub: (x) => x.sub(row),
  rsub: (x) => x.rsub(2),
  mul: (x) => x.mul(row),
  div: (x) => x.div(row),
  'div: integers': (x) => x.gt(0).to('int64').div(2),
  rdiv: (x) => x.abs().add(1).rdiv(2),
  pow: (x) => x.abs().pow(1.5),
  'pow: 2': (x) => x.pow(2),
  maximum: (x) => x.maximum(row),
  minimum: (x) => x.minimum(0.1),
  eq: (x) => x.round().eq(1),
  ne: (x) => x.round().ne(1),
  lt: (x) => x.lt(row),
  le: (x) => x.le(0),
  gt: (x) => x.gt(0),
  'gt: integers': (x) => x.to('int64').gt(0.5),
  ge: (x) => x.ge(row),
  to: (x) => x.mul(3).to('int64'),
  'to: bool': (x) => x.round().to('bool'),
  where: (x) => where(x.gt(0), x, row),
  maskedFill: (x) => x.maskedFill(x.gt(0), -1),
  reshape: (x) => x.reshape([x.shape[0] ?? 0, -1, 12]),
  'reshape: batch in two axes': (x) => x.reshape([(x.shape[0] ?? 0) * 4, 6, 6]).reshape([x.shape[0] ?? 0, 4, 36]),
  view: (x) => x.view([-1, 6, 6]),
  flatten: (x) => x.flatten(1),
  'flatten: all': (x) => x.flatten(),
  unsqueeze: (x) => x.unsqueeze(-1),
  squeeze: (x) => x.unsqueeze(1).squeeze(1),
  permute: (x) => x.permute([0, 2, 3, 1]),
  transpose: (x) => x.transpose(-1, 1),
  t: (x) => x.flatten(1).t(),
  expand: (x) => row.expand(x.shape).add(x.narrow(1, 0, 1).expand([-1, 4, -1, -1])),
  narrow: (x) => x.narrow(2, 1, 2, 2),
  'narrow: of the batch': (x) => x.narrow(0, 1, (x.shape[0] ?? 0) - 1),
  splitSizes: (x) => x.split([1, 3, 2], -1),
  'splitSizes: chunks of twice the batch': (x) => cat([x, x.neg()]).chunk(2),
  select: (x) => x.select(1, -1),
  cat: (x) => cat([x, x.neg(), row.expand([x.shape[0] ?? 0, 1, 6, 6])], 1),
  stack: (x) => stack([x, x.neg()], -1),
  repeat: (x) => x.repeat([2, 1, 1, 3, 1]),
  flip: (x) => x.flip([1, -1]),
  roll: (x) => x.roll([1, -2], [2, 3]),
  pad: (x) => x.pad([1, 2, 0, 1], 'constant', 0.5),
  'pad: reflect': (x) => x.pad([1, 2, 0, 1], 'reflect'),
  'pad: replicate, cut': (x) => x.pad([1, 2, 0, 1], 'replicate').pad([-1, 0]),
  tril: (x) => x.tril(),
  triu: (x) => x.triu(-1),
  indexSelect: (x) => x.indexSelect(1, index),
  gather: (x) => x.gather(3, places.expand([x.shape[0] ?? 0, 4, 6, 4])),
  scatterAdd: (x) => x.scatterAdd(3, places.expand([x.shape[0] ?? 0, 4, 6, 4]), x.narrow(3, 0, 4)),
  embedding: (x) => matrix.embedding(x.abs().clamp(0, 4).to('int64')),
  sum: (x) => x.sum([1, -1]),
  'sum: all': (x) => x.sum(),
  'sum: truth values': (x) => x.gt(0).sum(1, true),
  mean: (x) => x.mean([2, 3], true),
  prod: (x) => x.prod(-1),
  amax: (x) => x.amax([2, 3]),
  amin: (x) => x.amin(),
  logsumexp: (x) => x.mul(50).logsumexp(-1),
  norm: (x) => x.norm(2, 1),
  'norm: 1': (x) => x.norm(1, 1, true),
  normalize: (x) => x.normalize(),
  var: (x) => x.var([1, 2]),
  'var: biased': (x) => x.var(-1, 0, true),
  std: (x) => x.std(-1),
  argmax: (x) => x.argmax(1),
  argmin: (x) => x.flatten(1).argmin(-1, true),
  max: (x) => x.max(1),
  'max: all': (x) => x.max(),
  min: (x) => x.min(-1, true),
  topk: (x) => x.topk(3, 2),
  'topk: smallest': (x) => x.topk(2, -1, false),
  softmax: (x) => x.softmax(1),
  logSoftmax: (x) => x.logSoftmax(-1),
  cumsum: (x) => x.cumsum(2),
  matmul: (x) => x.matmul(x.transpose(-1, -2)),
  'matmul: a vector': (x) => x.matmul(row),
  linear: (x) => x.linear(matrix, matrix.select(1, 0)),
  'linear: rows': (x) => x.select(1, 0).select(1, 0).linear(matrix, matrix.select(1, 0)),
  conv2d: (x) => x.conv2d(weight, row, 2, 1),
  'conv2d: same, dilated': (x) => x.conv2d(weight, null, 1, 'same', 2),
  'conv2d: even window': (x) => x.conv2d(weight.narrow(2, 0, 2), null, 1, 'same'),
  'conv2d: depthwise': (x) => x.conv2d(depthwise, channel, [1, 2], [1, 0], 1, 4),
  conv1d: (x) => x.select(2, 0).conv1d(weight.select(2, 0), row, 2, 1),
  convTranspose2d: (x) => x.convTranspose2d(weight.permute([1, 0, 2, 3]), row, 2, 1, 1),
  batchNorm: (x) => x.batchNorm(channel, channel, channel, channel.neg(), false, 0.1, 1e-3),
  batchNormRelu: (x) => x.batchNormRelu(null, channel, channel, channel, channel.neg(), false, 0.1, 1e-3),
  'batchNormRelu: after a residual': (x) => x.batchNormRelu(x.neg(), channel, channel),
  'batchNorm: of vectors, plain': (x) => x.select(2, 0).select(2, 0).batchNorm(channel, channel),
  layerNorm: (x) => x.layerNorm([6], row, row),
  'layerNorm: plain': (x) => x.layerNorm([6, 6], null, null, 1e-2),
  rmsNorm: (x) => x.rmsNorm([6], row, 1e-2),
  'rmsNorm: plain': (x) => x.rmsNorm([6, 6]),
  groupNorm: (x) => x.groupNorm(2, channel, channel.neg()),
  maxPool2d: (x) => x.maxPool2d(3, 2, 1),
  'maxPool2d: ceil': (x) => x.maxPool2d([2, 3], [3, 2], 0, 1, true),
  avgPool2d: (x) => x.avgPool2d(3, 2, 1),
  'avgPool2d: ceil': (x) => x.avgPool2d([2, 4], [3, 3], [0, 1], true, false),
  'avgPool2d: without padding': (x) => x.avgPool2d(3, 2, 1, false, false),
  adaptiveAvgPool2d: (x) => x.adaptiveAvgPool2d(1),
  'adaptiveAvgPool2d: even': (x) => x.adaptiveAvgPool2d([3, 2]),
  'adaptiveAvgPool2d: uneven': (x) => x.adaptiveAvgPool2d([4, 5]),
  adaptiveMaxPool2d: (x) => x.adaptiveMaxPool2d(1),
  'adaptiveMaxPool2d: even': (x) => x.adaptiveMaxPool2d([3, 2]),
  log1p: (x) => x.abs().log1p(),
  ...(['plain', 'causal', 'bool mask', 'float mask', 'scale'] as const).reduce(
    (all, kind) => ({ ...all, [`scaledDotProductAttention: ${kind}`]: (x: Tensor) => attention(x, kind) }),
    {},
  ),
  'interpolate: nearest': (x) => x.interpolate({ size: [9, 4] }),
  'interpolate: nearest-exact': (x) => x.interpolate({ size: [9, 4], mode: 'nearest-exact' }),
  'interpolate: bilinear': (x) => x.interpolate({ size: [9, 4], mode: 'bilinear' }),
  'interpolate: corners': (x) => x.interpolate({ size: [9, 4], mode: 'bilinear', alignCorners: true }),
  'interpolate: factor': (x) => x.interpolate({ scaleFactor: 1.7, mode: 'bilinear' }),
  'interpolate: bicubic': (x) => x.interpolate({ size: [9, 4], mode: 'bicubic' }),
}

const methodOf = (name: string): string => name.split(':')[0] ?? name

test('every operation with an ONNX form is among the cases', () => {
  const tried = new Set(Object.keys(calls).map(methodOf))
  expect(Object.keys(operators).filter((name) => !tried.has(name))).toEqual([])
})

test('every function of the core that makes a tensor of tensors can be recorded', async () => {
  const typings = await readFile(new URL('../../src/binding/index.d.ts', import.meta.url), 'utf8')
  const declared = [...typings.matchAll(/^export declare function (\w+)\((.*\bTensor\b.*)\): .*\bTensor\b/gm)]
  // Zeros depend on no number; only their shape is the tensor's.
  const needed = declared.map(([, name]) => name ?? '').filter((name) => name !== 'zerosLike')
  expect(Object.keys(operations).toSorted()).toEqual(needed.toSorted())
})

const runtime = pythonWith('numpy', 'onnx', 'onnxruntime')
describe.skipIf(runtime.absent)(`onnxruntime gives what we give${runtime.note}`, () => {
  let folder: string
  const results = new Map<string, OnnxResult>()
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spt-onnx-'))
    // Exported for a batch of 2, run with one of 5.
    const input = randn([5, 4, 6, 6])
    const cases: OnnxCase[] = Object.entries(calls).map(([name, run], number) => ({
      name: String(number),
      module: new Calls((x) => named(run(x), name)),
      input,
      exportedShape: [2, 4, 6, 6],
    }))
    const compared = await compareWithOnnxruntime(folder, [
      ...cases,
      ...['gelu', 'gelu: tanh'].map((name) => ({
        ...cases[Object.keys(calls).indexOf(name)]!,
        name,
        options: { opset: 20 },
      })),
      {
        name: 'wrap',
        module: new Calls((x) => x.pad([1, 2], 'circular')),
        input,
        options: { opset: 19 },
      },
    ])
    for (const [at, result] of compared.entries()) {
      results.set(Object.keys(calls)[at] ?? ['gelu 20', 'gelu tanh 20', 'wrap 19'][at - cases.length] ?? '', result)
    }
  }, 120_000)
  afterAll(() => rm(folder, { recursive: true }))

  test.each([...Object.keys(calls), 'gelu 20', 'gelu tanh 20', 'wrap 19'])('%s', (name) => {
    expect(results.get(name)?.error).toBeUndefined()
    expect(results.get(name)?.difference).toBeLessThan(1e-5)
    expect(results.get(name)?.inputShape[1]).toBe(4)
  })
})

describe('what has no ONNX form is ERR_UNSUPPORTED', () => {
  const refused = async (run: (x: Tensor) => unknown, options = {}): Promise<unknown> => {
    class Outer extends nn.Module<unknown> {
      inner = new Calls(run)
      forward(x: Tensor): unknown {
        return this.inner.forward(x)
      }
    }
    return exportOnnx(new Outer(), [2, 4, 6, 6], '/nowhere/model.onnx', options).catch((error: unknown) => error)
  }

  test.each<[string, (x: Tensor) => unknown, RegExp]>([
    ['an operation', (x) => x.diagonal(), /diagonal in module "inner".*no ONNX form/],
    ['a size that depends on the numbers', (x) => x.maskedSelect(x.gt(0)), /maskedSelect in module "inner"/],
    [
      'what runtimes do not agree about',
      (x) => x.interpolate({ size: [3, 3], mode: 'bilinear', antialias: true }),
      /antialias/,
    ],
    ['an option', (x) => x.norm(3, 1), /norm in module "inner": the norm of order 3/],
    [
      'statistics of the batch',
      (x) => x.batchNorm(null, null, null, null, true),
      /batchNorm in module "inner".*statistics/,
    ],
    ['reading numbers', (x) => void x.sum().item(), /item in module "inner".*reads a number/],
    ['writing in place', (x) => x.add(1).add_(x), /copy_ in module "inner".*writes in place/],
    ['random numbers', (x) => x.add(rand([6])), /module "inner".*random/],
    [
      'numbers that depend on the batch size',
      (x) => x.mul(arange(x.shape[0] ?? 0).reshape([-1, 1, 1, 1])),
      /"inner".*shape depends on the batch size/,
    ],
    ['steps that depend on it', (x) => (x.shape[0] === 2 ? x.relu() : x), /with another batch size/],
    ['an argument that depends on it', (x) => x.add(1 / (x.shape[0] ?? 1)), /other arguments for another batch size/],
    ['no tensor', () => null, /returns no tensor/],
    ['a promise', async (x) => x, /asynchronous/],
  ])('%s', async (_, run, message) => {
    expect(await refused(run)).toMatchObject({ code: 'ERR_UNSUPPORTED', message: expect.stringMatching(message) })
  })

  test('an opset or a shape that there is not is ERR_ARGUMENT', async () => {
    expect(await refused((x) => x, { opset: 9 })).toMatchObject({ code: 'ERR_ARGUMENT' })
    await expect(exportOnnx(new Calls((x) => x), [2, 0], '/nowhere/model.onnx')).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
    })
  })
})

test('an export leaves the module, the methods and the memory as they were', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'spt-onnx-'))
  const module = new nn.Sequential(new nn.Linear(3, 4), new nn.BatchNorm1d(4), new nn.Dropout(0.5))
  module.at(0).eval()
  module.at(0).parameters()[0]!.requiresGrad = false
  const methods = Object.getOwnPropertyDescriptors(Tensor.prototype)
  const state = async (): Promise<unknown> => [
    module.modules().map(({ training }) => training),
    module.parameters().map(({ requiresGrad }) => requiresGrad),
    await Promise.all([...module.stateDict().values()].map((value) => value.data())),
    Object.hasOwn(module, 'forward'),
  ]
  const before = await state()
  await scope(async () => exportOnnx(module, [2, 3], join(folder, 'model.onnx')))
  await exportOnnx(new nn.Sequential(new Calls((x) => x.diagonal()) as never), [2, 2], join(folder, 'none.onnx')).catch(
    () => null,
  )
  expect(await state()).toEqual(before)
  expect(Object.getOwnPropertyDescriptors(Tensor.prototype)).toEqual(methods)
  await rm(folder, { recursive: true })
})

/** Several results get names of the case. */
function named(output: unknown, name: string): unknown {
  if (!Array.isArray(output)) return output
  return Object.fromEntries(output.map((one: unknown, at) => [`${methodOf(name)}${at}`, one]))
}

/** Rows of the images as queries, [batch, 3, 6, 6] at 5 keys; the mask's second row sees none. */
function attention(x: Tensor, kind: 'plain' | 'causal' | 'bool mask' | 'float mask' | 'scale'): Tensor {
  const query = x.narrow(1, 0, 3)
  const seen = cat([ones([1, 5]), zeros([1, 5]), arange(20).reshape([4, 5]).to('float32')]).gt(0)
  const options = {
    plain: {},
    causal: { isCausal: true },
    'bool mask': { attnMask: seen },
    'float mask': { attnMask: full([6, 5], 0.5).mul(matrix.t()) },
    scale: { scale: 0.3 },
  }
  return query.scaledDotProductAttention(key, key.mul(0.5), options[kind])
}
