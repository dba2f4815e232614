/** Random tensors of named distributions, made of uniform and normal ones. In-place initialisers are in `nn/init`. */
import { argumentInvalid } from '../errors.js'
import type { Generator, Tensor } from '../native.js'
import { rand, randn, type RandomCreationOptions, tensor } from './create.js'
import { defaultGenerator } from './random.js'

/** Uniform numbers in [low, high). */
export function uniform(
  low: number,
  high: number,
  shape: readonly number[],
  options: RandomCreationOptions = {},
): Tensor {
  if (!(low <= high)) throw argumentInvalid('uniform: low, high', 'a range', [low, high])
  return finish(options, (plain) =>
    rand(shape, plain)
      .mul(high - low)
      .add(low),
  )
}

/** Normal numbers of that mean and standard deviation (numbers, or tensors that are broadcast to the shape). */
export function normal(
  mean: number | Tensor,
  std: number | Tensor,
  shape: readonly number[],
  options: RandomCreationOptions = {},
): Tensor {
  if (typeof std === 'number' && !(std >= 0)) throw argumentInvalid('normal: std', 'a number not below 0', std)
  return finish(options, (plain) => randn(shape, plain).mul(std).add(mean))
}

/** 1 with probability `p` (a number, or a tensor broadcast to the shape; by default its own shape), else 0. */
export function bernoulli(p: number | Tensor, shape?: readonly number[], options: RandomCreationOptions = {}): Tensor {
  if (typeof p === 'number' && !(p >= 0 && p <= 1)) throw argumentInvalid('bernoulli: p', 'a probability', p)
  const sizes = shape ?? (typeof p === 'number' ? [] : p.shape)
  return finish(options, (plain) =>
    rand(sizes, plain)
      .lt(p)
      .to(plain.dtype ?? 'float32'),
  )
}

/** Exponential numbers with mean 1 / rate. */
export function exponential(rate: number, shape: readonly number[], options: RandomCreationOptions = {}): Tensor {
  if (!(rate > 0)) throw argumentInvalid('exponential: rate', 'a number above 0', rate)
  // −ln(1 − u), and 1 − u is never 0.
  return finish(options, (plain) =>
    rand(shape, plain)
      .neg()
      .log1p()
      .mul(-1 / rate),
  )
}

/** Gamma-distributed numbers of that shape parameter and scale 1 (Marsaglia & Tsang 2000). */
export function gamma(concentration: number, shape: readonly number[], options: RandomCreationOptions = {}): Tensor {
  if (!(concentration > 0)) throw argumentInvalid('gamma: concentration', 'a number above 0', concentration)
  return fill(shape, options, (generator) => drawGamma(concentration, generator))
}

/** Beta-distributed numbers in [0, 1] with density ∝ xᵃ⁻¹·(1 − x)ᵇ⁻¹. */
export function beta(a: number, b: number, shape: readonly number[], options: RandomCreationOptions = {}): Tensor {
  for (const value of [a, b]) if (!(value > 0)) throw argumentInvalid('beta: a, b', 'numbers above 0', value)
  return fill(shape, options, (generator) => {
    const [first, second] = [drawGamma(a, generator), drawGamma(b, generator)]
    // Both vanish only for parameters near 0, where the mass lies at the two ends.
    return first + second > 0 ? first / (first + second) : generator.uniform() < a / (a + b) ? 1 : 0
  })
}

/**
 * `count` indices drawn in proportion to weights [n] or [lines, n]: int64 [.., count].
 *
 * @throws ERR_ARGUMENT for weights below 0 or not finite, and for more draws without replacement than there are weights.
 */
export function multinomial(
  weights: Tensor,
  count: number,
  {
    replacement = false,
    generator = defaultGenerator,
  }: { replacement?: boolean; generator?: Generator | undefined } = {},
): Tensor {
  return weights.multinomial(count, replacement, generator)
}

/** Makes the values outside the graph, then marks them. */
function finish(options: RandomCreationOptions, make: (plain: RandomCreationOptions) => Tensor): Tensor {
  const { requiresGrad = false, ...plain } = options
  const made = make(plain)
  const alone = requiresGrad ? made.detach() : made
  if (requiresGrad) alone.requiresGrad = true
  return alone
}

function fill(
  shape: readonly number[],
  { generator = defaultGenerator, dtype = 'float32', requiresGrad = false }: RandomCreationOptions,
  draw: (generator: Generator) => number,
): Tensor {
  const values = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => draw(generator))
  return tensor(values, { shape, dtype, requiresGrad })
}

function drawGamma(concentration: number, generator: Generator): number {
  if (concentration < 1)
    return drawGamma(concentration + 1, generator) * (1 - generator.uniform()) ** (1 / concentration)
  const d = concentration - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = Math.sqrt(-2 * Math.log(1 - generator.uniform())) * Math.cos(2 * Math.PI * generator.uniform())
    const v = (1 + c * x) ** 3
    if (v > 0 && Math.log(1 - generator.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
  }
}
