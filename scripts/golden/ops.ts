/** How to call each tensor operation of the reference vectors. */
import * as F from '../../src/losses/index.js'
import { Attention, MultiheadAttention } from '../../src/nn/index.js'
import { cat, conv1d, einsum, stack, type Tensor, where } from '../../src/tensor/index.js'
import { at, type Call, first, type Handler, invoke, type Table } from './table.js'

/** Calls the method of the operation's own name in camelCase on the first input, with the attributes named. */
function method(name: string, ...attributes: string[]): Handler {
  return ({ inputs, attrs }) =>
    invoke(at(inputs, 0), name, ...inputs.slice(1), ...attributes.map((key) => orNothing(attrs[key])))
}

/** Reference attributes say null where our arguments are left out. */
function orNothing(value: unknown): unknown {
  return value ?? undefined
}

const plain = (...names: string[]): Table => Object.fromEntries(names.map((name) => [snake(name), method(name)]))
const withDims = (...names: string[]): Table =>
  Object.fromEntries(names.map((name) => [snake(name), method(name, 'dim', 'keepdim')]))

/** Reductions to values, or to values and indices when one dimension is named. */
const extreme =
  (name: 'max' | 'min'): Handler =>
  ({ inputs, attrs }) =>
    attrs.dim === null
      ? invoke(at(inputs, 0), name === 'max' ? 'amax' : 'amin')
      : invoke(at(inputs, 0), name, attrs.dim, attrs.keepdim)

const spread =
  (name: 'var' | 'std'): Handler =>
  ({ inputs, attrs }) =>
    invoke(at(inputs, 0), name, orNothing(attrs.dim), attrs.correction, attrs.keepdim)

const elementLoss = (
  loss: (a: Tensor, b: Tensor, options: Record<string, never>) => Tensor,
  ...attributes: string[]
): Handler => {
  return ({ inputs, attrs }) =>
    loss(at(inputs, 0), at(inputs, 1), Object.fromEntries(attributes.map((key) => [key, attrs[key]])) as never)
}

export const ops: Table = {
  ...plain(
    'abs',
    'add',
    'atan2',
    'cos',
    'div',
    'erf',
    'exp',
    'expm1',
    'log',
    'log1p',
    'maximum',
    'minimum',
    'neg',
    'pow',
  ),
  ...plain(
    'reciprocal',
    'relu',
    'rsqrt',
    'sigmoid',
    'sign',
    'silu',
    'sin',
    'sqrt',
    'square',
    'sub',
    'tanh',
    'logSigmoid',
  ),
  ...plain('eq', 'ne', 'lt', 'le', 'gt', 'ge', 'inv', 'svdvals'),
  ...withDims('sum', 'mean', 'amax', 'amin', 'prod', 'argmax', 'argmin', 'logsumexp'),
  add_scalar: method('add', 'value'),
  mul_scalar: method('mul', 'value'),
  div_scalar: method('div', 'value'),
  pow_scalar: method('pow', 'exponent'),
  rsub_scalar: method('rsub', 'value'),
  rdiv_scalar: method('rdiv', 'value'),
  mul: (call) => (call.inputs.length === 1 ? transposedTimesFlip(call) : first(call).mul(at(call.inputs, 1))),
  clamp: method('clamp', 'min', 'max'),
  gelu: method('gelu', 'approximate'),
  leaky_relu: method('leakyRelu', 'negative_slope'),
  elu: method('elu', 'alpha'),
  softplus: method('softplus', 'beta', 'threshold'),
  softmax: method('softmax', 'dim'),
  log_softmax: method('logSoftmax', 'dim'),
  max: extreme('max'),
  min: extreme('min'),
  var: spread('var'),
  std: spread('std'),
  norm: ({ inputs, attrs }) =>
    invoke(at(inputs, 0), 'norm', attrs.p === 'inf' ? Infinity : attrs.p, orNothing(attrs.dim), attrs.keepdim),
  normalize: ({ inputs, attrs }) => at(inputs, 0).normalize(Number(attrs.p), Number(attrs.dim), Number(attrs.eps)),
  cumsum: method('cumsum', 'dim'),
  sort: method('sort', 'dim', 'descending'),
  argsort: ({ inputs, attrs }) => invoke(at(inputs, 0), 'argsort', attrs.dim, attrs.descending),
  topk: method('topk', 'k', 'dim', 'largest', 'sorted'),
  matmul: ({ inputs, attrs }) => {
    const turned = (tensor: Tensor, turn: unknown) => (turn ? tensor.transpose(-2, -1) : tensor)
    return invoke(turned(at(inputs, 0), attrs.transpose_a), 'matmul', turned(at(inputs, 1), attrs.transpose_b))
  },
  linear: method('linear'),
  einsum: ({ inputs, attrs }) => einsum(String(attrs.equation), ...inputs),
  view_chain: ({ inputs, attrs }) =>
    (attrs.steps as Array<[string, number[]]>).reduce(
      (value, [step, args]) => viewStep(value, step, args),
      at(inputs, 0),
    ),
  cat: ({ inputs, attrs }) => cat(inputs, Number(attrs.dim)),
  stack: ({ inputs, attrs }) => stack(inputs, Number(attrs.dim)),
  chunk: ({ inputs, attrs }) => at(inputs, 0).chunk(Number(attrs.chunks), Number(attrs.dim)),
  split: ({ inputs, attrs }) => at(inputs, 0).split(attrs.sizes as number[], Number(attrs.dim)),
  flip: method('flip', 'dims'),
  roll: method('roll', 'shifts', 'dims'),
  tril: method('tril', 'diagonal'),
  triu: method('triu', 'diagonal'),
  diag: method('diag', 'diagonal'),
  pad: method('pad', 'pad', 'mode', 'value'),
  where: ({ inputs: [condition, a, b] }) => where(condition as Tensor, a as Tensor, b as Tensor),
  masked_fill: ({ inputs, attrs }) => invoke(at(inputs, 0), 'maskedFill', at(inputs, 1), attrs.value),
  gather: ({ inputs, attrs }) => invoke(at(inputs, 0), 'gather', attrs.dim, at(inputs, 1)),
  index_select: ({ inputs, attrs }) => invoke(at(inputs, 0), 'indexSelect', attrs.dim, at(inputs, 1)),
  index_add: ({ inputs, attrs }) => invoke(at(inputs, 0), 'indexAdd', attrs.dim, at(inputs, 1), at(inputs, 2)),
  scatter_add: ({ inputs, attrs }) => invoke(at(inputs, 0), 'scatterAdd', attrs.dim, at(inputs, 1), at(inputs, 2)),
  embedding: ({ named }) => invoke(named.weight as Tensor, 'embedding', named.index ?? named.indices),
  one_hot: method('oneHot', 'num_classes'),
  unfold: ({ inputs, attrs }) => {
    const { kernel_size: kernelSize, stride, padding, dilation } = attrs
    return invoke(at(inputs, 0), 'unfold', kernelSize, { stride, padding, dilation })
  },
  conv1d: ({ inputs: [x, weight, bias], attrs: { stride, padding, dilation, groups } }) =>
    conv1d(x as Tensor, weight as Tensor, bias ?? null, { stride, padding, dilation, groups } as never),
  conv2d: ({ inputs: [x, weight, bias], attrs }) =>
    invoke(x as Tensor, 'conv2d', weight, bias, ...pairs(attrs, 'stride', 'padding', 'dilation'), attrs.groups),
  conv_transpose2d: ({ inputs: [x, weight, bias], attrs }) =>
    invoke(
      x as Tensor,
      'convTranspose2d',
      weight,
      bias,
      ...pairs(attrs, 'stride', 'padding', 'output_padding'),
      attrs.groups,
      ...pairs(attrs, 'dilation'),
    ),
  max_pool2d: ({ inputs, attrs }) =>
    invoke(
      at(inputs, 0),
      'maxPool2d',
      ...pairs(attrs, 'kernel_size', 'stride', 'padding', 'dilation'),
      attrs.ceil_mode,
    ),
  avg_pool2d: ({ inputs, attrs }) =>
    invoke(
      at(inputs, 0),
      'avgPool2d',
      ...pairs(attrs, 'kernel_size', 'stride', 'padding'),
      attrs.ceil_mode,
      attrs.count_include_pad,
    ),
  adaptive_avg_pool2d: ({ inputs, attrs }) =>
    invoke(at(inputs, 0), 'adaptiveAvgPool2d', ...pairs(attrs, 'output_size')),
  adaptive_max_pool2d: ({ inputs, attrs }) =>
    invoke(at(inputs, 0), 'adaptiveMaxPool2d', ...pairs(attrs, 'output_size')),
  interpolate: ({ inputs, attrs }) =>
    invoke(at(inputs, 0), 'interpolate', {
      size: orNothing(attrs.size),
      scaleFactor: orNothing(attrs.scale_factor),
      mode: attrs.mode,
      alignCorners: attrs.align_corners ?? false,
      recomputeScaleFactor: attrs.recompute_scale_factor ?? false,
      antialias: attrs.antialias ?? false,
    }),
  batch_norm1d: batchNorm,
  batch_norm2d: batchNorm,
  layer_norm: ({ inputs: [x, weight, bias], attrs }) =>
    invoke(x as Tensor, 'layerNorm', attrs.normalized_shape, weight, bias, attrs.eps),
  rms_norm: ({ inputs: [x, weight], attrs }) =>
    invoke(x as Tensor, 'rmsNorm', attrs.normalized_shape, weight, attrs.eps),
  group_norm: ({ inputs: [x, weight, bias], attrs }) =>
    invoke(x as Tensor, 'groupNorm', attrs.num_groups, weight, bias, attrs.eps),
  cross_entropy: ({ named, attrs }) =>
    invoke(named.x as Tensor, 'crossEntropy', named.target, {
      weight: named.weight,
      ignoreIndex: attrs.ignore_index,
      reduction: attrs.reduction,
      labelSmoothing: attrs.label_smoothing,
    }),
  mse_loss: elementLoss(F.mseLoss as never, 'reduction'),
  l1_loss: elementLoss(F.l1Loss as never, 'reduction'),
  smooth_l1_loss: elementLoss(F.smoothL1Loss as never, 'reduction', 'beta'),
  huber_loss: elementLoss(F.huberLoss as never, 'reduction', 'delta'),
  kl_div: elementLoss(F.klDiv as never, 'reduction'),
  binary_cross_entropy_with_logits: ({ named, attrs }) =>
    F.binaryCrossEntropyWithLogits(named.a as Tensor, named.b as Tensor, {
      reduction: attrs.reduction as F.Reduction,
      weight: named.weight,
      posWeight: named.pos_weight,
    }),
  cosine_similarity: ({ inputs, attrs }) =>
    F.cosineSimilarity(at(inputs, 0), at(inputs, 1), { dim: Number(attrs.dim), eps: Number(attrs.eps) }),
  cdist: method('cdist', 'p'),
  scaled_dot_product_attention: ({ inputs: [q, k, v, mask], attrs }) =>
    invoke(q as Tensor, 'scaledDotProductAttention', k, v, {
      attnMask: attrs.mask === 'bool' ? (mask as Tensor).to('bool') : mask,
      isCausal: attrs.mask === 'causal',
      scale: orNothing(attrs.scale),
    }),
  multi_head_attention: multiHeadAttention,
  vit_attention: vitAttention,
  cholesky: ({ inputs }) => invoke(symmetric(at(inputs, 0)), 'cholesky'),
  eigh: ({ inputs }) => {
    const [w, v] = symmetric(at(inputs, 0)).eigh()
    return [w, v.mul(w.rsqrt().unsqueeze(-2)).matmul(v.transpose(-2, -1))]
  },
  qr: method('qr'),
  slogdet: method('slogdet'),
  solve_triangular: ({ inputs: [a, b], attrs }) =>
    invoke(a as Tensor, 'solveTriangular', b, {
      upper: attrs.upper,
      left: attrs.left,
      unitriangular: attrs.unitriangular,
    }),
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Sizes as [vertical, horizontal]. */
function pairs(attrs: Record<string, unknown>, ...names: string[]): unknown[] {
  return names.map((name) => (typeof attrs[name] === 'number' ? [attrs[name], attrs[name]] : attrs[name]))
}

function symmetric(x: Tensor): Tensor {
  return x.add(x.transpose(-2, -1)).mul(0.5)
}

function transposedTimesFlip(call: Call): Tensor {
  const turned = first(call).t()
  return turned.mul(invoke(turned, 'flip', [0]))
}

function viewStep(value: Tensor, step: string, args: number[]): Tensor {
  const [axis = 0, start = 0, stop = 0, stride = 1] = args
  if (step === 'slice') return value.narrow(axis, start, Math.ceil((stop - start) / stride), stride)
  if (step === 'select') return value.select(axis, start)
  const takesList = ['reshape', 'permute', 'expand'].includes(step)
  return takesList ? invoke(value, step, args) : invoke(value, step, ...args)
}

/** The module with the case's own tensors as parameters; attributes say batch first. */
function multiHeadAttention({ named, attrs }: Call): Record<string, Tensor | null> {
  const query = named.query as Tensor
  const attention = new MultiheadAttention(query.shape[2] ?? 0, Number(attrs.num_heads), {
    batchFirst: attrs.batch_first === true,
    ...(named.key ? { kdim: named.key.shape[2] ?? 0 } : {}),
    ...(named.value ? { vdim: named.value.shape[2] ?? 0 } : {}),
  })
  attention.inProjWeight = named.in_proj_weight as Tensor
  attention.inProjBias = named.in_proj_bias ?? null
  attention.outProj.weight = named.out_proj_weight as Tensor
  attention.outProj.bias = named.out_proj_bias ?? null
  const [y, weights] = attention.forward(query, named.key, named.value, {
    keyPaddingMask: named.padding?.to('bool'),
    attnMask: named.attn_mask?.to('bool'),
  })
  return { y, weights }
}

function vitAttention({ named, attrs }: Call): Tensor {
  const x = named.x as Tensor
  const attention = new Attention(x.shape[2] ?? 0, { numHeads: Number(attrs.num_heads) })
  attention.qkv.weight = named.qkv_weight as Tensor
  attention.qkv.bias = named.qkv_bias ?? null
  attention.proj.weight = named.proj_weight as Tensor
  attention.proj.bias = named.proj_bias ?? null
  return attention.forward(x)
}

function batchNorm({ named, attrs }: Call): Record<string, Tensor> {
  const { x, running_mean: mean, running_var: variance, weight, bias } = named as Record<string, Tensor>
  const [meanOut, varianceOut] = [(mean as Tensor).clone(), (variance as Tensor).clone()]
  const y = invoke(
    x as Tensor,
    'batchNorm',
    meanOut,
    varianceOut,
    weight,
    bias,
    attrs.training,
    attrs.momentum,
    attrs.eps,
  )
  return { y, running_mean_out: meanOut, running_var_out: varianceOut }
}
