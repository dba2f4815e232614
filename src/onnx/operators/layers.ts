/** Products, convolutions, pooling, normalisation, attention and resizing in ONNX. */
import type { Graph } from '../graph.js'
import type { Value } from '../pair.js'
import { Float } from '../protobuf.js'
import { operand } from './elementwise.js'
import { transposed } from './movement.js'
import { fixed, isAbsent, numberOf, numbersOf, type Operator, pairOf, tensorOf } from './operator.js'

export const layers: Record<string, Operator> = {
  matmul: (graph, [a, b], [result]) => graph.node('MatMul', [operand(graph, a, result), operand(graph, b, result)]),
  linear: (graph, [x, weight, bias]) => {
    const [value, matrix] = [tensorOf(graph, x), tensorOf(graph, weight)] // weight [out, in]
    const added = isAbsent(bias) ? [] : [tensorOf(graph, bias)]
    if (value.shape.length === 2) return graph.node('Gemm', [value, matrix, ...added], { transB: 1 })
    const product = graph.node('MatMul', [value, transposed(graph, matrix, 0, 1)])
    return added.length === 0 ? product : graph.node('Add', [product, ...added])
  },
  conv2d: (graph, [x, weight, bias, stride, padding, dilation, groups]) =>
    convolution(graph, tensorOf(graph, x), tensorOf(graph, weight), bias, { stride, padding, dilation, groups }),
  conv1d: (graph, [x, weight, bias, stride, padding, dilation, groups]) =>
    convolution(graph, tensorOf(graph, x), tensorOf(graph, weight), bias, { stride, padding, dilation, groups }),
  convTranspose2d: (graph, [x, weight, bias, stride, padding, outputPadding, groups, dilation]) => {
    const around = pairOf(graph, padding, [0, 0])
    return graph.node('ConvTranspose', [tensorOf(graph, x), tensorOf(graph, weight), ...optional(graph, bias)], {
      strides: pairOf(graph, stride, [1, 1]),
      pads: [...around, ...around],
      output_padding: pairOf(graph, outputPadding, [0, 0]),
      dilations: pairOf(graph, dilation, [1, 1]),
      group: numberOf(graph, groups, 1),
    })
  },
  batchNorm,
  batchNormRelu: (graph, [x, residual, ...rest]) => {
    const normalised = batchNorm(graph, [x, ...rest])
    const sum = isAbsent(residual) ? normalised : graph.node('Add', [normalised, tensorOf(graph, residual)])
    return graph.node('Relu', [sum])
  },
  layerNorm: (graph, [x, shape, weight, bias, eps]) => {
    const [value, sizes] = [tensorOf(graph, x), numbersOf(graph, shape)]
    const scale = isAbsent(weight) ? graph.filled(1, sizes, value.dtype) : tensorOf(graph, weight)
    const options = { axis: -sizes.length, epsilon: new Float(numberOf(graph, eps, 1e-5)) }
    return graph.node('LayerNormalization', [value, scale, ...optional(graph, bias)], options)
  },
  rmsNorm: (graph, [x, shape, weight, eps]) => {
    const value = tensorOf(graph, x)
    const axes = graph.ints(numbersOf(graph, shape).map((_, index) => -1 - index))
    const ownEpsilon = value.dtype === 'float64' ? 2 ** -52 : 2 ** -23
    const mean = graph.node('ReduceMean', [graph.node('Mul', [value, value]), axes], { keepdims: 1 })
    const shifted = graph.node('Add', [mean, graph.scalar(numberOf(graph, eps, ownEpsilon), value.dtype)])
    const scaled = graph.node('Div', [value, graph.node('Sqrt', [shifted])])
    return isAbsent(weight) ? scaled : graph.node('Mul', [scaled, tensorOf(graph, weight)])
  },
  groupNorm: (graph, [x, groups, weight, bias, eps], [result]) => {
    const value = tensorOf(graph, x)
    const count = numberOf(graph, groups)
    const [batch = 1, channels = 1, ...places] = value.shape
    // Each group is a channel of its own for a moment.
    const long = graph.node('Reshape', [value, graph.ints([0, count, -1])])
    const ones = [1, 0].map((fill) => graph.filled(fill, [count], value.dtype))
    const normed = graph.node('InstanceNormalization', [long, ...ones], {
      epsilon: new Float(numberOf(graph, eps, 1e-5)),
    })
    const back = graph.reshape(normed, result?.shape ?? [batch, channels, ...places])
    const perChannel = [fixed(graph, channels), ...places.map(() => 1)]
    const scaled = isAbsent(weight)
      ? back
      : graph.node('Mul', [back, graph.reshape(tensorOf(graph, weight), perChannel)])
    return isAbsent(bias) ? scaled : graph.node('Add', [scaled, graph.reshape(tensorOf(graph, bias), perChannel)])
  },
  maxPool2d: (graph, [x, kernel, stride, padding, dilation], [result]) => {
    const windows = windowsOf(graph, tensorOf(graph, x), { kernel, stride, padding, dilation }, result)
    return graph.node('MaxPool', [tensorOf(graph, x)], { ...windows, dilations: pairOf(graph, dilation, [1, 1]) })
  },
  avgPool2d: (graph, [x, kernel, stride, padding, , countPadding, divisor], [result]) => {
    if (!isAbsent(divisor)) throw graph.unsupported('a divisor of its own has no form there')
    const windows = windowsOf(graph, tensorOf(graph, x), { kernel, stride, padding, dilation: 1 }, result)
    const [top, left, bottom, right] = windows.pads
    // What ceilMode adds behind the padding does not count, the padding does: ONNX knows one rule for both.
    if (countPadding !== false && (top !== bottom || left !== right)) {
      throw graph.unsupported('ceilMode with a window beyond the padding has no form there')
    }
    return graph.node('AveragePool', [tensorOf(graph, x)], {
      ...windows,
      count_include_pad: countPadding === false ? 0 : 1,
    })
  },
  adaptiveAvgPool2d: (graph, [x, size]) => {
    const value = tensorOf(graph, x)
    const [sizes, wanted] = [lastTwo(graph, value), pairOf(graph, size)]
    if (wanted.every((count) => count === 1)) return graph.node('GlobalAveragePool', [value])
    const even = evenWindows(graph, 'AveragePool', value, sizes, wanted)
    if (even !== undefined) return even
    // Windows of different sizes: one matrix of shares an axis.
    const [rows, columns] = sizes.map((count, axis) => shares(count, wanted[axis] ?? 1)) as [number[][], number[][]]
    const [height, width] = sizes
    const left = graph.table(rows.flat(), [rows.length, height], value.dtype)
    const right = graph.table(turned(columns).flat(), [width, columns.length], value.dtype)
    return graph.node('MatMul', [graph.node('MatMul', [left, value]), right])
  },
  adaptiveMaxPool2d: (graph, [x, size]) => {
    const value = tensorOf(graph, x)
    const wanted = pairOf(graph, size)
    if (wanted.every((count) => count === 1)) return graph.node('GlobalMaxPool', [value])
    const even = evenWindows(graph, 'MaxPool', value, lastTwo(graph, value), wanted)
    if (even !== undefined) return even
    throw graph.unsupported(`[${lastTwo(graph, value).join(', ')}] does not divide into [${wanted.join(', ')}] windows`)
  },
  scaledDotProductAttention: (graph, [q, k, v, options]) => {
    const [query, key, value] = [tensorOf(graph, q), tensorOf(graph, k), tensorOf(graph, v)]
    return attention(graph, query, key, value, (options ?? {}) as AttentionArguments)
  },
  interpolate: (graph, [x, options], [result]) =>
    resize(graph, tensorOf(graph, x), (options ?? {}) as ResizeArguments, result),
}

interface ConvolutionArguments {
  stride: unknown
  padding: unknown
  dilation: unknown
  groups: unknown
}

/** Over one axis or two. */
function batchNorm(graph: Graph, [x, mean, variance, weight, bias, training, , eps]: readonly unknown[]): string {
  const value = tensorOf(graph, x)
  if (training === true || isAbsent(mean) || isAbsent(variance)) {
    throw graph.unsupported("it uses the batch's own statistics, which a model for inference cannot")
  }
  const channels = fixed(graph, value.shape[1])
  const scale = isAbsent(weight) ? graph.filled(1, [channels], value.dtype) : tensorOf(graph, weight)
  const shift = isAbsent(bias) ? graph.filled(0, [channels], value.dtype) : tensorOf(graph, bias)
  return graph.node('BatchNormalization', [value, scale, shift, tensorOf(graph, mean), tensorOf(graph, variance)], {
    epsilon: new Float(numberOf(graph, eps, 1e-5)),
  })
}

function convolution(graph: Graph, x: Value, weight: Value, bias: unknown, given: ConvolutionArguments): string {
  const kernel = weight.shape.slice(2).map((size) => fixed(graph, size))
  const perAxis = (arg: unknown, fallback: number): number[] => {
    const numbers = numbersOf(graph, arg, [fallback])
    return kernel.map((_, axis) => numbers[axis] ?? numbers[0] ?? fallback)
  }
  const dilations = perAxis(given.dilation, 1)
  const { padding } = given
  // 'same' puts the odd element behind, as PyTorch does.
  const total = kernel.map((size, axis) => (dilations[axis] ?? 1) * (size - 1))
  const around = typeof padding === 'string' ? undefined : perAxis(padding, 0)
  const begin = around ?? total.map((sum) => (padding === 'same' ? Math.floor(sum / 2) : 0))
  const end = around ?? total.map((sum) => (padding === 'same' ? Math.ceil(sum / 2) : 0))
  return graph.node('Conv', [x, weight, ...optional(graph, bias)], {
    strides: perAxis(given.stride, 1),
    pads: [...begin, ...end],
    dilations,
    group: numberOf(graph, given.groups, 1),
  })
}

function optional(graph: Graph, bias: unknown): Value[] {
  return isAbsent(bias) ? [] : [tensorOf(graph, bias)]
}

interface PoolArguments {
  kernel: unknown
  stride: unknown
  padding: unknown
  dilation: unknown
}

/**
 * The windows as they fell: where ceilMode adds one, padding behind makes room for it, because versions of ONNX differ in
 * how they round up.
 */
function windowsOf(
  graph: Graph,
  x: Value,
  given: PoolArguments,
  result: Value | undefined,
): { kernel_shape: number[]; strides: number[]; pads: number[] } {
  const kernel = pairOf(graph, given.kernel)
  const stride = pairOf(graph, given.stride, kernel)
  const around = pairOf(graph, given.padding, [0, 0])
  const dilation = pairOf(graph, given.dilation, [1, 1])
  const behind = lastTwo(graph, x).map((size, axis) => {
    const [before = 0, step = 1] = [around[axis], stride[axis]]
    const count = fixed(graph, result?.shape[axis + 2])
    const needed = (count - 1) * step + (dilation[axis] ?? 1) * ((kernel[axis] ?? 1) - 1) + 1
    return Math.max(before, needed - size - before)
  })
  return { kernel_shape: kernel, strides: stride, pads: [...around, ...behind] }
}

function lastTwo(graph: Graph, value: Value): [number, number] {
  return [fixed(graph, value.shape.at(-2)), fixed(graph, value.shape.at(-1))]
}

function evenWindows(
  graph: Graph,
  type: string,
  value: Value,
  sizes: readonly [number, number],
  wanted: readonly [number, number],
): string | undefined {
  if (sizes.some((size, axis) => size % (wanted[axis] ?? 1) !== 0)) return undefined
  const kernel = sizes.map((size, axis) => size / (wanted[axis] ?? 1))
  return graph.node(type, [value], { kernel_shape: kernel, strides: kernel })
}

/** Rows of a matrix [outputs, size] that takes the mean of window ⌊i·size/outputs⌋ to ⌈(i + 1)·size/outputs⌉. */
function shares(size: number, outputs: number): number[][] {
  return Array.from({ length: outputs }, (_, row) => {
    const [begin, end] = [Math.floor((row * size) / outputs), Math.ceil(((row + 1) * size) / outputs)]
    return Array.from({ length: size }, (__, place) => (place >= begin && place < end ? 1 / (end - begin) : 0))
  })
}

function turned(rows: readonly number[][]): number[][] {
  return (rows[0] ?? []).map((_, column) => rows.map((row) => row[column] ?? 0))
}

interface AttentionArguments {
  attnMask?: Value | null
  isCausal?: boolean
  scale?: number | null
  dropoutP?: number
}

/** softmax(scale · q·kᵀ + mask) · v; scale is 1/√(last size) by default, and a query that sees no key gets zeros. */
function attention(graph: Graph, query: Value, key: Value, value: Value, given: AttentionArguments): string {
  const { dtype } = query
  const scale = numberOf(graph, given.scale, 1 / Math.sqrt(fixed(graph, query.shape.at(-1))))
  const scaled = graph.node('Mul', [query, graph.scalar(scale, dtype)])
  let scores = graph.node('MatMul', [scaled, transposed(graph, key, -2, -1)]) // [..., queries, keys]
  let seen: string | undefined
  if (given.isCausal === true) {
    const [queries, keys] = [fixed(graph, query.shape.at(-2)), fixed(graph, key.shape.at(-2))]
    const lower = Array.from({ length: queries * keys }, (_, at) => (at % keys <= Math.floor(at / keys) ? 1 : 0))
    seen = graph.cast(graph.table(lower, [queries, keys], 'float32'), 'bool')
  }
  if (!isAbsent(given.attnMask)) {
    if (given.attnMask.dtype === 'bool') {
      seen = seen === undefined ? graph.name(given.attnMask) : graph.node('And', [seen, given.attnMask])
    } else scores = graph.node('Add', [scores, given.attnMask])
  }
  if (seen !== undefined) scores = graph.node('Where', [seen, scores, graph.scalar(-Infinity, dtype)])
  const shares = graph.node('Softmax', [scores], { axis: -1 })
  // A row without any key is 0/0 until here.
  const weights = seen === undefined ? shares : graph.node('Where', [seen, shares, graph.scalar(0, dtype)])
  return graph.node('MatMul', [weights, value])
}

interface ResizeArguments {
  size?: unknown
  scaleFactor?: unknown
  mode?: string
  alignCorners?: boolean
  recomputeScaleFactor?: boolean
  antialias?: boolean
}

/** Coordinates as PyTorch maps them. */
function resize(graph: Graph, x: Value, given: ResizeArguments, result: Value | undefined): string {
  const { mode = 'nearest', alignCorners = false, antialias = false } = given
  const kinds: Record<string, string> = {
    nearest: 'nearest',
    'nearest-exact': 'nearest',
    linear: 'linear',
    bilinear: 'linear',
    trilinear: 'linear',
    bicubic: 'cubic',
  }
  const kind = kinds[mode]
  if (kind === undefined) throw graph.unsupported(`the mode "${mode}" has no form there`)
  if (antialias) throw graph.unsupported('runtimes do not agree about antialias')
  const ndim = x.shape.length
  const axes = Array.from({ length: ndim - 2 }, (_, index) => index + 2)
  const byFactor = !isAbsent(given.scaleFactor) && given.recomputeScaleFactor !== true
  const factors = byFactor ? numbersOf(graph, given.scaleFactor) : []
  const scales = byFactor
    ? graph.table(
        axes.map((_, index) => factors[index] ?? factors[0] ?? 1),
        [axes.length],
        'float32',
      )
    : ''
  const sizes = byFactor ? [] : [graph.sizes((result?.shape ?? x.shape).slice(2))]
  return graph.node('Resize', [x, '', scales, ...sizes], {
    axes,
    mode: kind,
    coordinate_transformation_mode: alignCorners ? 'align_corners' : mode === 'nearest' ? 'asymmetric' : 'half_pixel',
    ...(kind === 'nearest' && { nearest_mode: mode === 'nearest' ? 'floor' : 'round_prefer_ceil' }),
    // PyTorch's cubic is Keys' with −0.75.
    ...(kind === 'cubic' && { cubic_coeff_a: new Float(-0.75) }),
  })
}
