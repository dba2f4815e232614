/** Losses on masked patches: MAE, SimMIM, data2vec, NEPA; and patches of images and their histograms of gradients. */
import { argumentInvalid, SptError } from '../errors.js'
import { Module } from '../nn/index.js'
import { cat, type Tensor } from '../tensor/index.js'
import { smoothL1Loss } from './elementwise.js'
import { sameShapes, shapeOf } from './shapes.js'
import { cosineSimilarity } from './similarity.js'

/**
 * Cuts the last axes into patches: [..., s₁, …, sₖ] with patch sizes p₁ … pₖ gives [..., patches, ∏p]. With three sizes
 * [channels, p, p] an image [batch, channels, height, width] gives patches whose values are in the order C, p, p.
 *
 * @throws ERR_SHAPE when a size does not divide.
 */
export function patchify(input: Tensor, patchSize: readonly number[]): Tensor {
  const lead = input.shape.slice(0, input.ndim - patchSize.length)
  const sizes = input.shape.slice(lead.length)
  const grid = sizes.map((size, axis) => {
    const patch = patchSize[axis] ?? 1
    if (size % patch === 0) return size / patch
    throw new SptError(
      'ERR_SHAPE',
      `patchify: [${input.shape.join(', ')}] does not divide into patches ${patchSize.join('×')}`,
    )
  })
  const interleaved = grid.flatMap((count, axis) => [count, patchSize[axis] ?? 1])
  return input
    .reshape([...lead, ...interleaved])
    .permute(evenThenOdd(lead.length, grid.length))
    .reshape([...lead, product(grid), product(patchSize)])
}

/** The inverse of patchify; `gridSize` counts the patches along each axis, a square (or line) where it is left out. */
export function unpatchify(patches: Tensor, patchSize: readonly number[], gridSize?: readonly number[]): Tensor {
  const lead = patches.shape.slice(0, -2)
  const count = patches.shape.at(-2) ?? 0
  const grid = gridSize ?? squareGrid(count, patchSize.length)
  if (product(grid) !== count) {
    throw new SptError('ERR_SHAPE', `unpatchify: ${count} patches do not fill a grid of ${grid.join('×')}`)
  }
  const axes = grid.length
  const back = Array.from({ length: lead.length }, (_, axis) => axis)
  for (let axis = 0; axis < axes; axis += 1) back.push(lead.length + axis, lead.length + axes + axis)
  return patches
    .reshape([...lead, ...grid, ...patchSize])
    .permute(back)
    .reshape([...lead, ...grid.map((cells, axis) => cells * (patchSize[axis] ?? 1))])
}

/** Each patch to mean 0 and variance 1: (t − mean) / √(unbiased variance + 1e-6) over the last axis. */
export function normalisePatches(patches: Tensor): Tensor {
  const centred = patches.sub(patches.mean(-1, true))
  const width = patches.shape.at(-1) ?? 0
  return centred.div(
    centred
      .square()
      .sum(-1, true)
      .div(width - 1)
      .add(1e-6)
      .sqrt(),
  )
}

/** Mean of the per-patch losses [batch, patches] where the mask of that shape is 1; NaN where it is 0 everywhere. */
export function maskedMean(losses: Tensor, mask: Tensor): Tensor {
  sameShapes('maskedMean: losses and mask', losses, mask)
  const weights = mask.to(losses.dtype)
  return losses.mul(weights).sum().div(weights.sum())
}

/** MAE's loss (He et al. 2022, arXiv:2111.06377) on patches [batch, patches, width]; mask 1 = to be predicted. */
export function mae(target: Tensor, prediction: Tensor, mask: Tensor, { normPixLoss = false } = {}): Tensor {
  sameShapes('mae: target and prediction', target, prediction)
  const goal = normPixLoss ? normalisePatches(target) : target
  return maskedMean(prediction.sub(goal).square().mean(-1), mask)
}

/** Predictions and target patches, both [batch, patches, C·p·p], to a loss for each patch [batch, patches]. */
export type PatchLoss = (prediction: Tensor, target: Tensor) => Tensor

export interface MAELossOptions {
  /** Pixels of a patch's side. */
  patchSize?: number
  /** `custom`: what `registerCustomLoss` was given. */
  lossType?: 'mse' | 'cosine' | 'smooth_l1' | 'custom'
  /** Only masked patches count. */
  maskOnly?: boolean
  /** Target patches to mean 0 and variance 1, each by itself. */
  patchNormalize?: boolean
  reduction?: 'mean' | 'sum'
}

/** MAE's loss from images: predictions [batch, patches, C·p·p], images [batch, C, height, width], mask [batch, patches]. */
export class MAELoss extends Module {
  readonly options: Required<MAELossOptions>
  #custom: PatchLoss | undefined

  constructor(options: MAELossOptions = {}) {
    super()
    const defaults = {
      patchSize: 16,
      lossType: 'mse',
      maskOnly: true,
      patchNormalize: true,
      reduction: 'mean',
    } as const
    this.options = { ...defaults, ...options }
  }

  /** The loss of `lossType: 'custom'`. */
  registerCustomLoss(loss: PatchLoss): void {
    this.#custom = loss
  }

  /** @throws ERR_SHAPE when the shapes do not fit, ERR_ARGUMENT when a custom loss was not registered. */
  forward(prediction: Tensor, images: Tensor, mask: Tensor): Tensor {
    const { patchSize, lossType, maskOnly, patchNormalize, reduction } = this.options
    if (images.ndim !== 4)
      throw new SptError('ERR_SHAPE', `MAELoss: images ${shapeOf(images)} are not [batch, C, height, width]`)
    const patches = patchify(images, [images.shape[1] ?? 0, patchSize, patchSize])
    if (patches.shape.join() !== prediction.shape.join()) {
      throw new SptError(
        'ERR_SHAPE',
        `MAELoss: predictions ${shapeOf(prediction)}, patches of the images ${shapeOf(patches)}`,
      )
    }
    const target = patchNormalize ? normalisePatches(patches) : patches
    const loss = lossType === 'custom' ? this.#custom : patchLosses[lossType]
    if (!loss) throw argumentInvalid('MAELoss: lossType', 'a loss of its own by registerCustomLoss', lossType)
    const losses = loss(prediction, target) // [batch, patches]
    sameShapes('MAELoss: losses of patches and mask', losses, mask)
    if (!maskOnly) return reduction === 'sum' ? losses.sum() : losses.mean()
    return reduction === 'sum' ? losses.mul(mask.to(losses.dtype)).sum() : maskedMean(losses, mask)
  }
}

const patchLosses: Record<'mse' | 'cosine' | 'smooth_l1', PatchLoss> = {
  mse: (prediction, target) => prediction.sub(target).square().mean(-1),
  cosine: (prediction, target) => cosineSimilarity(prediction, target, { dim: -1 }).rsub(1),
  smooth_l1: (prediction, target) => smoothL1Loss(prediction, target, { reduction: 'none' }).mean(-1),
}

/** SimMIM's loss (Xie et al. 2022, arXiv:2111.09886): L1 of raw pixels on masked patches. */
export function simMimLoss(prediction: Tensor, target: Tensor, mask: Tensor): Tensor {
  sameShapes('simMimLoss: prediction and target', prediction, target)
  return maskedMean(prediction.sub(target).abs().mean(-1), mask)
}

/** data2vec's loss (Baevski et al. 2022, arXiv:2202.03555, eq. 2): smooth L1 on masked tokens; layer-normed targets. */
export function data2vecLoss(prediction: Tensor, target: Tensor, mask: Tensor, { beta = 2 } = {}): Tensor {
  sameShapes('data2vecLoss: prediction and target', prediction, target)
  const goal = target.detach().layerNorm([target.shape.at(-1) ?? 0])
  return maskedMean(smoothL1Loss(prediction, goal, { reduction: 'none', beta }).mean(-1), mask)
}

/** NEPA: −mean cos between the prediction at token i and the (detached) input embedding of token i + 1. [batch, tokens, dim] */
export function nextEmbeddingLoss(embeddings: Tensor, predictions: Tensor): Tensor {
  sameShapes('nextEmbeddingLoss: embeddings and predictions', embeddings, predictions)
  const pairs = (embeddings.shape[1] ?? 1) - 1
  if (embeddings.ndim !== 3 || pairs < 1) {
    throw new SptError(
      'ERR_SHAPE',
      `nextEmbeddingLoss: expected [batch, two tokens or more, dim], got ${shapeOf(embeddings)}`,
    )
  }
  const targets = embeddings.detach().narrow(1, 1, pairs)
  return cosineSimilarity(predictions.narrow(1, 0, pairs), targets, { dim: -1, eps: 1e-12 })
    .mean()
    .neg()
}

/**
 * Histograms of oriented gradients of each patch (Dalal & Triggs 2005; targets of MaskFeat, arXiv:2112.09133): unsigned
 * orientations in `bins`, hard assignment, standardised over the bins. [batch, C, H, W] → [batch, patches, C·bins]
 */
export function hogPerPatch(images: Tensor, { patchSize, bins = 9 }: { patchSize: number; bins?: number }): Tensor {
  const [batch = 0, channels = 0, height = 0, width = 0] = images.shape
  if (images.ndim !== 4 || height % patchSize !== 0 || width % patchSize !== 0) {
    throw new SptError(
      'ERR_SHAPE',
      `hogPerPatch: ${shapeOf(images)} does not divide into patches of ${patchSize} pixels a side`,
    )
  }
  const dx = shifted(images, 3, 1).sub(shifted(images, 3, -1))
  const dy = shifted(images, 2, 1).sub(shifted(images, 2, -1))
  const magnitude = dx.square().add(dy.square()).add(1e-6).sqrt()
  const angle = dy.atan2(dx)
  const turn = angle.div(Math.PI)
  // Into [0, 1): orientation, not direction.
  const share = turn.sub(turn.floor())
  const bin = share
    .mul(bins)
    .floor()
    .clamp(0, bins - 1)
  const histograms = Array.from({ length: bins }, (_, index) => {
    const chosen = magnitude.mul(bin.eq(index).to(images.dtype)) // [batch, C, H, W]
    const cells = chosen.reshape([batch, channels, height / patchSize, patchSize, width / patchSize, patchSize])
    return cells.sum([3, 5]).permute([0, 2, 3, 1]) // [batch, rows, columns, C]
  })
  const stacked = histograms.map((histogram) => histogram.unsqueeze(-1))
  const all = cat(stacked, -1).reshape([batch, (height / patchSize) * (width / patchSize), channels, bins])
  const centred = all.sub(all.mean(-1, true))
  const deviation = centred
    .square()
    .sum(-1, true)
    .div(bins - 1)
    .sqrt()
  return centred.div(deviation.add(1e-6)).reshape([batch, -1, channels * bins])
}

/** The image moved by one pixel along an axis, zeros coming in. */
function shifted(images: Tensor, axis: number, by: 1 | -1): Tensor {
  const length = images.shape[axis] ?? 0
  const zero = images.narrow(axis, 0, 1).mul(0)
  return by === 1
    ? cat([images.narrow(axis, 1, length - 1), zero], axis)
    : cat([zero, images.narrow(axis, 0, length - 1)], axis)
}

function evenThenOdd(lead: number, axes: number): number[] {
  const order = Array.from({ length: lead }, (_, axis) => axis)
  for (let axis = 0; axis < axes; axis += 1) order.push(lead + 2 * axis)
  for (let axis = 0; axis < axes; axis += 1) order.push(lead + 2 * axis + 1)
  return order
}

function squareGrid(count: number, axes: number): number[] {
  if (axes === 1) return [count]
  const side = Math.round(Math.sqrt(count))
  // Three sizes are those of an image with all channels in each patch.
  return axes === 3 ? [1, side, side] : [side, side]
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((result, size) => result * size, 1)
}
