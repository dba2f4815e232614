/** Contrastive losses: cross-entropy over cosine similarities. */
import { SptError } from '../errors.js'
import { Module } from '../nn/index.js'
import { arange, cat, eye, type Tensor, tensor } from '../tensor/index.js'
import { matrixSizes, pairSizes, shapeOf } from './shapes.js'

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
 * @throws ERR_SHAPE when the shapes do not fit. A row whose candidates are all masked makes the loss NaN.
 */
export function infoNce(
  anchors: Tensor,
  candidates: Tensor,
  targets: Tensor,
  { temperature = 0.07, mask, logitScale }: InfoNceOptions = {},
): Tensor {
  checkShapes(anchors, candidates, targets, mask)
  const cosines = anchors.normalize().matmul(candidates.normalize().t()) // [anchors, candidates]
  // Shifted by the target's own cosine the loss is the same, but the gradient of the scale loses no digits.
  const logits = logitScale
    ? cosines.sub(cosines.detach().gather(1, targets.unsqueeze(1))).div(logitScale)
    : cosines.div(temperature)
  return (mask ? logits.maskedFill(mask, -Infinity) : logits).crossEntropy(targets)
}

function checkShapes(anchors: Tensor, candidates: Tensor, targets: Tensor, mask: Tensor | undefined): void {
  const [rows, dim] = matrixSizes('InfoNCE', anchors)
  const [others, otherDim] = matrixSizes('InfoNCE', candidates)
  const fits = dim === otherDim && targets.shape.join() === String(rows)
  if (fits && (!mask || mask.shape.join() === [rows, others].join())) return
  const [a, b, c] = [anchors, candidates, targets].map(shapeOf)
  const masked = mask ? ` and mask ${shapeOf(mask)}` : ''
  throw new SptError('ERR_SHAPE', `InfoNCE: anchors ${a}, candidates ${b}, targets ${c}${masked} do not fit`, {
    hint: 'Anchors [anchors, dim], candidates [candidates, dim], targets [anchors], mask [anchors, candidates].',
  })
}

/** InfoNCE of anchors [anchors, dim], candidates [candidates, dim] and targets [anchors]; see {@link infoNce}. */
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
    const [size] = pairSizes('NTXEntLoss', first, second)
    const views = cat([first, second], 0) // [2N, dim]
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
  const own = arange(pairSizes('CLIPLoss', first, second)[0])
  return infoNce(first, second, own, options)
    .add(infoNce(second, first, own, options))
    .mul(0.5)
}
