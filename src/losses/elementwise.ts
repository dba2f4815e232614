/** Losses between two tensors of one shape, as torch.nn.functional has them. */
import type { Tensor } from '../tensor/index.js'

export type Reduction = 'mean' | 'sum' | 'none'

/** The mean, the sum, or all of them. */
export function reduce(losses: Tensor, reduction: Reduction): Tensor {
  if (reduction === 'none') return losses
  return reduction === 'mean' ? losses.mean() : losses.sum()
}

export function mseLoss(input: Tensor, target: Tensor, { reduction = 'mean' }: { reduction?: Reduction } = {}): Tensor {
  return reduce(input.sub(target).square(), reduction)
}

export function l1Loss(input: Tensor, target: Tensor, { reduction = 'mean' }: { reduction?: Reduction } = {}): Tensor {
  return reduce(input.sub(target).abs(), reduction)
}

/** ½d²/β where |d| < β, |d| − ½β elsewhere; plain L1 when β is 0. */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', beta = 1 }: { reduction?: Reduction; beta?: number } = {},
): Tensor {
  if (beta === 0) return l1Loss(input, target, { reduction })
  return reduce(huberLoss(input, target, { reduction: 'none', delta: beta }).div(beta), reduction)
}

/** ½d² where |d| ≤ δ, δ(|d| − ½δ) elsewhere. */
export function huberLoss(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean', delta = 1 }: { reduction?: Reduction; delta?: number } = {},
): Tensor {
  const distance = input.sub(target).abs()
  // With q = min(|d|, δ) both pieces are q·(|d| − ½q).
  const quadratic = distance.clamp(null, delta)
  return reduce(quadratic.mul(distance.sub(quadratic.mul(0.5))), reduction)
}

/** target · (ln target − input) with input in log space; 0 where the target is 0. */
export function klDiv(
  input: Tensor,
  target: Tensor,
  { reduction = 'mean' }: { reduction?: Reduction | 'batchmean' } = {},
): Tensor {
  const entropy = target.mul(target.clamp(1e-45, null).log())
  const losses = entropy.sub(target.mul(input))
  if (reduction === 'batchmean') return losses.sum().div(input.shape[0] ?? 1)
  return reduce(losses, reduction)
}

/** Binary cross-entropy of logits: −w·[p·y·ln σ(x) + (1 − y)·ln(1 − σ(x))]. */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  {
    reduction = 'mean',
    weight,
    posWeight,
  }: { reduction?: Reduction; weight?: Tensor | undefined; posWeight?: Tensor | undefined } = {},
): Tensor {
  const positive = posWeight ? target.mul(posWeight) : target
  // ln(1 − σ(x)) = ln σ(−x)
  const losses = positive.mul(input.logSigmoid()).add(target.rsub(1).mul(input.neg().logSigmoid())).neg()
  return reduce(weight ? losses.mul(weight) : losses, reduction)
}
