/** Start values of parameters, under torch.nn.init's names in camelCase. All change their tensor in place and return it. */
import { argumentInvalid, shapeMismatch, SptError } from '../errors.js'
import {
  eye,
  type Generator,
  noGrad,
  rand,
  randn,
  scope,
  tensor as tensorOf,
  type Tensor,
  where,
} from '../tensor/index.js'

export interface RandomOptions {
  /** The source of random numbers; the global one of `manualSeed` by default. */
  generator?: Generator | undefined
}

export function constant_(tensor: Tensor, value: number): Tensor {
  return noGrad(() => tensor.fill_(value))
}

export function zeros_(tensor: Tensor): Tensor {
  return constant_(tensor, 0)
}

export function ones_(tensor: Tensor): Tensor {
  return constant_(tensor, 1)
}

/** Uniform numbers in [low, high). */
export function uniform_(tensor: Tensor, low = 0, high = 1, { generator }: RandomOptions = {}): Tensor {
  return assign(tensor, () =>
    rand(tensor.shape, { generator })
      .mul(high - low)
      .add(low),
  )
}

export function normal_(tensor: Tensor, mean = 0, std = 1, { generator }: RandomOptions = {}): Tensor {
  return assign(tensor, () => randn(tensor.shape, { generator }).mul(std).add(mean))
}

/** A normal distribution cut at `low` and `high`: what falls outside is drawn again, at most 16 times, then clamped. */
export function truncNormal_(
  tensor: Tensor,
  { mean = 0, std = 1, low = -2, high = 2, generator }: RandomOptions & TruncatedNormal = {},
): Tensor {
  return assign(tensor, () => {
    const draw = () => randn(tensor.shape, { generator }).mul(std).add(mean)
    let value = draw()
    // Beyond 6 standard deviations a float32 sample never falls.
    const rounds = Math.min((mean - low) / std, (high - mean) / std) > 6 ? 0 : 16
    for (let round = 0; round < rounds; round += 1) value = where(value.lt(low).maximum(value.gt(high)), draw(), value)
    return value.clamp(low, high)
  })
}

export interface TruncatedNormal {
  mean?: number
  std?: number
  low?: number
  high?: number
}

export type Nonlinearity = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leaky_relu' | 'selu'

/** The factor by which a nonlinearity shrinks the standard deviation (He et al. 2015; Klambauer et al. 2017 for selu). */
export function calculateGain(nonlinearity: Nonlinearity, negativeSlope = 0.01): number {
  const gains = { linear: 1, sigmoid: 1, tanh: 5 / 3, relu: Math.SQRT2, selu: 3 / 4 }
  return nonlinearity === 'leaky_relu' ? Math.sqrt(2 / (1 + negativeSlope ** 2)) : gains[nonlinearity]
}

export interface KaimingOptions extends RandomOptions {
  /** Negative slope of the leaky ReLU. */
  a?: number
  mode?: 'fan_in' | 'fan_out'
  nonlinearity?: Nonlinearity
}

/** Uniform with variance gain² / fan (He et al. 2015, arXiv:1502.01852). */
export function kaimingUniform_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingStd(tensor, options)
  return uniform_(tensor, -bound, bound, options)
}

/** Normal with variance gain² / fan. */
export function kaimingNormal_(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  return normal_(tensor, 0, kaimingStd(tensor, options), options)
}

/** Uniform with variance 2·gain² / (fan_in + fan_out) (Glorot & Bengio 2010). */
export function xavierUniform_(tensor: Tensor, gain = 1, options: RandomOptions = {}): Tensor {
  const bound = Math.sqrt(3) * xavierStd(tensor, gain)
  return uniform_(tensor, -bound, bound, options)
}

export function xavierNormal_(tensor: Tensor, gain = 1, options: RandomOptions = {}): Tensor {
  return normal_(tensor, 0, xavierStd(tensor, gain), options)
}

/** The unit matrix in a matrix [rows, columns]. @throws ERR_SHAPE for other than two axes. */
export function eye_(tensor: Tensor): Tensor {
  const [rows, columns] = tensor.shape
  if (rows === undefined || columns === undefined || tensor.ndim !== 2) {
    throw shapeMismatch('init.eye_', '[rows, columns]', tensor.shape)
  }
  return assign(tensor, () => eye(rows, columns))
}

/**
 * Makes a convolution hand its input on: in each of the `groups`, output channel i has a 1 at the middle of its window on
 * input channel i and zeros elsewhere.
 *
 * @throws ERR_SHAPE for other than three to five axes, ERR_ARGUMENT when the outputs do not divide by `groups`.
 */
export function dirac_(tensor: Tensor, groups = 1): Tensor {
  const [outputs = 0, inputs = 0, ...window] = tensor.shape
  if (window.length < 1 || window.length > 3) {
    throw shapeMismatch('init.dirac_', '[out, in / groups, kernel …] with three to five axes', tensor.shape)
  }
  if (outputs % groups !== 0) throw argumentInvalid('init.dirac_: groups', `a divisor of ${outputs}`, groups)
  const area = window.reduce((product, size) => product * size, 1)
  const middle = window.reduce((index, size) => index * size + Math.floor(size / 2), 0)
  const perGroup = outputs / groups
  const values = new Float32Array(tensor.numel)
  for (let output = 0; output < outputs; output += 1) {
    const channel = output % perGroup
    if (channel < inputs) values[(output * inputs + channel) * area + middle] = 1
  }
  return assign(tensor, () => tensorOf(values, { shape: tensor.shape }))
}

/**
 * Normal numbers, but the share `sparsity` of each column (the weights of one input) is 0 (Martens 2010).
 *
 * @throws ERR_SHAPE for other than two axes.
 */
export function sparse_(tensor: Tensor, sparsity: number, std = 0.01, { generator }: RandomOptions = {}): Tensor {
  const [rows, columns] = tensor.shape
  if (rows === undefined || columns === undefined || tensor.ndim !== 2) {
    throw shapeMismatch('init.sparse_', '[rows, columns]', tensor.shape)
  }
  return assign(tensor, () => {
    const zeroed = Math.ceil(sparsity * rows)
    // The ranks of random numbers are a random order of the rows, another one for each column.
    const ranks = rand([rows, columns], { generator }).argsort(0).argsort(0)
    return randn([rows, columns], { generator }).mul(std).mul(ranks.ge(zeroed).to(tensor.dtype))
  })
}

/**
 * Orthonormal rows (or columns, whichever are fewer) of the matrix [first axis, all others], times `gain`: drawn
 * uniformly from all such matrices (Saxe et al. 2014, arXiv:1312.6120). @throws ERR_SHAPE below two axes.
 */
export function orthogonal_(tensor: Tensor, gain = 1, { generator }: RandomOptions = {}): Tensor {
  const { shape } = tensor
  const [rows = 0] = shape
  if (shape.length < 2) throw shapeMismatch('init.orthogonal_', '[out, in, …] with two axes or more', shape)
  if (tensor.numel === 0) return tensor
  const columns = tensor.numel / rows
  return assign(tensor, () => {
    const drawn = randn([rows, columns], { generator })
    // The diagonal of r is positive: with free signs q would not be uniformly distributed.
    const [q] = (rows < columns ? drawn.t() : drawn).qr()
    return (rows < columns ? q.t() : q).mul(gain).reshape(shape)
  })
}

/**
 * Divides what each transformer block adds to its tokens by √(2 · its number), from 1: the last weights of its attention and
 * of its perceptron (Bao et al. 2022, BEiT, arXiv:2106.08254, section 2.2). Keeps deep networks steady at the start.
 */
export function scaleResiduals_(blocks: Iterable<{ namedParameters(): Iterable<[string, Tensor]> }>): void {
  let layer = 0
  for (const block of blocks) {
    layer += 1
    for (const [name, weight] of block.namedParameters()) {
      if (/^(attn\.proj|mlp\.(fc2|w3))\.weight$/.test(name)) assign(weight, () => weight.div(Math.sqrt(2 * layer)))
    }
  }
}

/** Inputs and outputs that one unit of a weight [out, in, …] is connected to. @throws ERR_SHAPE below two axes. */
export function calculateFans(tensor: Tensor): { fanIn: number; fanOut: number } {
  const [outputs, inputs, ...window] = tensor.shape
  if (outputs === undefined || inputs === undefined) {
    throw new SptError('ERR_SHAPE', `fan in and fan out need two axes or more, got [${tensor.shape.join(', ')}]`)
  }
  const area = window.reduce((product, size) => product * size, 1)
  return { fanIn: inputs * area, fanOut: outputs * area }
}

function kaimingStd(tensor: Tensor, { a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu' }: KaimingOptions): number {
  const { fanIn, fanOut } = calculateFans(tensor)
  const fan = mode === 'fan_in' ? fanIn : fanOut
  // A layer without inputs has no weights to set.
  return fan === 0 ? 0 : calculateGain(nonlinearity, a) / Math.sqrt(fan)
}

function xavierStd(tensor: Tensor, gain: number): number {
  const { fanIn, fanOut } = calculateFans(tensor)
  return gain * Math.sqrt(2 / (fanIn + fanOut))
}

function assign(tensor: Tensor, values: () => Tensor): Tensor {
  scope(() => {
    noGrad(() => tensor.copy_(values()))
  })
  return tensor
}
