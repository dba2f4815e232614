/** Contrastive losses: cross-entropy over cosine similarities. */
import { Module } from '../nn/index.js'
import { arange, cat, eye, type Tensor, tensor } from '../tensor/index.js'

export interface InfoNceOptions {
  temperature?: number
  /** True or 1 = this candidate is left out, [anchors, candidates]. */
  mask?: Tensor | undefined
  /** Takes the place of the temperature: the cosines are DIVIDED by it, as upstream does. */
  logitScale?: Tensor | undefined
}

/**
 * Cross-entropy of cos(anchor, candidate) / τ (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).
 *
 * @param anchors [anchors, dim]
 * @param candidates [candidates, dim]
 * @param targets int64 [anchors], the index of each anchor's own candidate
 */
export function infoNce(
  anchors: Tensor,
  candidates: Tensor,
  targets: Tensor,
  { temperature = 0.07, mask, logitScale }: InfoNceOptions = {},
): Tensor {
  const cosines = anchors.normalize().matmul(candidates.normalize().t()) // [anchors, candidates]
  // Shifted by the target's own cosine the loss is the same, but the gradient of the scale loses no digits.
  const logits = logitScale
    ? cosines.sub(cosines.detach().gather(1, targets.unsqueeze(1))).div(logitScale)
    : cosines.div(temperature)
  return (mask ? logits.maskedFill(mask, -Infinity) : logits).crossEntropy(targets)
}

export class InfoNCELoss extends Module {
  readonly temperature: number

  constructor({ temperature = 0.07 } = {}) {
    super()
    this.temperature = temperature
  }

  forward(
    anchors: Tensor,
    candidates: Tensor,
    targets: Tensor,
    options: Omit<InfoNceOptions, 'temperature'> = {},
  ): Tensor {
    return infoNce(anchors, candidates, targets, { temperature: this.temperature, ...options })
  }
}

/**
 * NT-Xent (Chen et al. 2020, arXiv:2002.05709, eq. 1): each of the 2N projections finds its other view among the 2N − 1
 * others. Both inputs are [N, dim].
 */
export class NTXEntLoss extends Module {
  readonly temperature: number

  constructor({ temperature = 0.5 } = {}) {
    super()
    this.temperature = temperature
  }

  forward(first: Tensor, second: Tensor): Tensor {
    const views = cat([first, second], 0) // [2N, dim]
    const size = first.shape[0] ?? 0
    const partners = tensor(BigInt64Array.from({ length: 2 * size }, (_, row) => BigInt((row + size) % (2 * size))))
    const self = eye(2 * size, 2 * size, { dtype: 'bool' })
    return infoNce(views, views, partners, { temperature: this.temperature, mask: self })
  }
}

/** The mean of both directions of InfoNCE between paired rows [N, dim] (Radford et al. 2021, arXiv:2103.00020). */
export class CLIPLoss extends Module {
  readonly temperature: number

  constructor({ temperature = 0.07 } = {}) {
    super()
    this.temperature = temperature
  }

  forward(first: Tensor, second: Tensor, logitScale?: Tensor): Tensor {
    return symmetricInfoNce(first, second, { temperature: this.temperature, logitScale })
  }
}

/** ½ (first finds second + second finds first), rows paired. */
export function symmetricInfoNce(
  first: Tensor,
  second: Tensor,
  options: { temperature?: number; logitScale?: Tensor | undefined } = {},
): Tensor {
  const own = arange(first.shape[0] ?? 0)
  return infoNce(first, second, own, options)
    .add(infoNce(second, first, own, options))
    .mul(0.5)
}
