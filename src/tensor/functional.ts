/** Operations composed of native ones: dropout, one-axis and transposed convolution. Autograd has their gradients. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import type { Generator, Tensor } from '../native.js'
import { rand } from './create.js'

/** Each value is 0 with probability `p`, the others are divided by 1 − p. */
export function dropout(input: Tensor, p: number, { generator }: { generator?: Generator | undefined } = {}): Tensor {
  return dropWhere(input, p, input.shape, generator)
}

/** Each channel of [batch, channels, …] is 0 with probability `p`, the others are divided by 1 − p. */
export function dropout2d(input: Tensor, p: number, { generator }: { generator?: Generator | undefined } = {}): Tensor {
  const [batch = 1, channels = 1, ...rest] = input.shape
  if (input.ndim < 2) throw shapeMismatch('dropout2d', '[batch, channels, …]', input.shape)
  return dropWhere(input, p, [batch, channels, ...rest.map(() => 1)], generator)
}

/** Each sample (index of the first axis) is 0 with probability `p`, the others are divided by 1 − p. */
export function dropPath(input: Tensor, p: number, { generator }: { generator?: Generator | undefined } = {}): Tensor {
  const [samples = 1, ...rest] = input.shape
  return dropWhere(input, p, [samples, ...rest.map(() => 1)], generator)
}

function dropWhere(input: Tensor, p: number, shape: number[], generator: Generator | undefined): Tensor {
  if (!(p >= 0 && p <= 1)) throw argumentInvalid('dropout: p', 'a probability', p)
  if (p === 0) return input
  if (p === 1) return input.mul(0)
  const kept = rand(shape, { generator }).ge(p).to(input.dtype)
  return input.mul(kept.mul(1 / (1 - p)))
}

/** Cross-correlation of [batch, channels, length] with weight [out, channels / groups, kernel]. */
export function conv1d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  { stride = 1, padding = 0, dilation = 1, groups = 1 } = {},
): Tensor {
  const row = input.unsqueeze(2) // [batch, channels, 1, length]
  return row.conv2d(weight.unsqueeze(2), bias, [1, stride], [0, padding], [1, dilation], groups).squeeze(2)
}
