/** Images of a batch mixed with each other, and their labels likewise (Zhang et al. 2017, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899). */
import { SptError, argumentInvalid } from '../errors.js'
import { beta, tensor, where, type DeviceName, type Generator, type Tensor } from '../tensor/index.js'
import type { BatchContext, BatchTransform } from './batch-transform.js'
import type { Batch } from './data-loader.js'

export interface MixupCutmixOptions {
  readonly numClasses: number
  /** Of Beta(alpha, alpha) for mixing; 0: never mixed. Default 0.8. */
  readonly mixupAlpha?: number
  /** Of Beta(alpha, alpha) for pasting a box; 0: never pasted. Default 1. */
  readonly cutmixAlpha?: number
  /** Probability that a batch is changed at all. Default 1. */
  readonly prob?: number
  /** Probability of pasting where both are on. Default 0.5. */
  readonly switchProb?: number
  /** Share of a label spread over all classes. Default 0.1. */
  readonly labelSmoothing?: number
  /** Key of the soft labels, float32 [batch, classes]. Default soft_label. */
  readonly target?: string
}

/**
 * Each image with that at the other end of the batch: one share λ of the first for the whole batch, either blended, or a box of
 * sides √(1 − λ) pasted, after which λ is what the box really leaves. Labels become λ · own + (1 − λ) · other.
 */
export class RandomMixupCutmix implements BatchTransform {
  readonly anyDevice = true
  readonly options: Required<MixupCutmixOptions>

  constructor(options: MixupCutmixOptions) {
    this.options = {
      mixupAlpha: 0.8,
      cutmixAlpha: 1,
      prob: 1,
      switchProb: 0.5,
      labelSmoothing: 0.1,
      target: 'soft_label',
      ...options,
    }
    const { numClasses, mixupAlpha, cutmixAlpha } = this.options
    if (!Number.isInteger(numClasses) || numClasses < 1) {
      throw argumentInvalid('RandomMixupCutmix numClasses', 'a whole number from 1', numClasses)
    }
    if (!(mixupAlpha >= 0 && cutmixAlpha >= 0 && mixupAlpha + cutmixAlpha > 0)) {
      throw argumentInvalid('RandomMixupCutmix alphas', 'numbers from 0, one above 0', [mixupAlpha, cutmixAlpha])
    }
  }

  async applyBatch(batch: Batch, { generator }: BatchContext): Promise<Batch> {
    const { image, label } = batch
    if (image === undefined || label === undefined) {
      throw new SptError('ERR_DATA', 'RandomMixupCutmix: the batch needs image and label')
    }
    const { target } = this.options
    const { share, box } = await this.draw(image.shape.slice(-2) as [number, number], generator)
    const other = image.flip(0)
    const mixed = box === undefined ? image.mul(share).add(other.mul(1 - share)) : paste(image, other, box)
    const own = await this.#targets(label)
    const labels = own.mul(share).add(own.flip(0).mul(1 - share))
    return { ...batch, image: share === 1 ? image : mixed, [target]: share === 1 ? own : labels }
  }

  /** λ, and the box [top, bottom, left, right] where one is pasted. */
  async draw(
    [height, width]: readonly [number, number],
    generator: Generator,
  ): Promise<{ share: number; box?: readonly [top: number, bottom: number, left: number, right: number] }> {
    const { mixupAlpha, cutmixAlpha, prob, switchProb } = this.options
    if (generator.uniform() >= prob) return { share: 1 }
    const both = mixupAlpha > 0 && cutmixAlpha > 0
    const pastes = both ? generator.uniform() < switchProb : cutmixAlpha > 0
    const alpha = pastes ? cutmixAlpha : mixupAlpha
    const share = (await beta(alpha, alpha, [], { generator, device: 'cpu' }).item()) as number
    if (!pastes) return { share }
    const side = Math.sqrt(1 - share)
    const span = (extent: number): [number, number] => {
      const [middle, half] = [generator.integer(extent), Math.floor(Math.floor(extent * side) / 2)]
      return [Math.max(0, middle - half), Math.min(extent, middle + half)]
    }
    const [top, bottom] = span(height)
    const [left, right] = span(width)
    return { share: 1 - ((bottom - top) * (right - left)) / (height * width), box: [top, bottom, left, right] }
  }

  /**
   * Smoothed labels [batch, classes]: s / K off, 1 − s + s / K on. Labels of a GPU are not read: one beyond the classes is told by the
   * next read, as any index is.
   */
  async #targets(label: Tensor): Promise<Tensor> {
    const { numClasses, labelSmoothing } = this.options
    const labels = label.device === 'cpu' ? ((await label.data()) as BigInt64Array) : []
    const wrong = labels.find((number) => number < 0n || number >= BigInt(numClasses))
    if (wrong !== undefined) {
      throw new SptError('ERR_DATA', `RandomMixupCutmix: the label ${wrong} is not in 0..${numClasses - 1}`)
    }
    const off = labelSmoothing / numClasses
    return label
      .oneHot(numClasses)
      .to('float32')
      .mul(1 - labelSmoothing)
      .add(off)
  }
}

/** `other` in the box, `image` around it. */
function paste(image: Tensor, other: Tensor, [top, bottom, left, right]: readonly number[]): Tensor {
  const [height = 0, width = 0] = image.shape.slice(-2)
  const inside = new Uint8Array(height * width)
  for (let y = top as number; y < (bottom as number); y++)
    inside.fill(1, y * width + (left as number), y * width + (right as number))
  const box = tensor(inside, { shape: [height, width], dtype: 'bool', device: image.device as DeviceName })
  return where(box, other, image)
}
