/** Calibration: how far confidence is from being right (Guo et al. 2017, arXiv:1706.04599). */
import { argumentInvalid } from '../errors.js'
import { linspace, type Tensor, zeros } from '../tensor/index.js'
import {
  binaryProbabilities,
  classesLast,
  classLabels,
  countedRows,
  probabilities,
  shapesDiffer,
} from './class-labels.js'
import { Metric } from './metric.js'
import { bincount } from './stat-scores.js'

export interface CalibrationOptions {
  /** Bins of equal width on [0, 1], each with its lower end; a confidence of exactly 1 has a bin of its own. */
  nBins?: number
  /** Mean distance over rows (`l1`, the expected calibration error), its root mean square (`l2`), or the largest of a bin. */
  norm?: 'l1' | 'l2' | 'max'
  /** Rows with this target do not count. */
  ignoreIndex?: number | null | undefined
}

/**
 * Distance between the confidence of the highest score and the share that is right, by bins of confidence.
 *
 * @param preds scores [batch, classes, …]; the softmax is taken unless all lie in [0, 1]
 * @param target class numbers [batch, …]
 */
export async function multiclassCalibrationError(
  preds: Tensor,
  target: Tensor,
  options: CalibrationOptions & { numClasses?: number | undefined } = {},
): Promise<number> {
  return computed(new MulticlassCalibrationError(options), preds, target)
}

/** Distance between the probability of class 1 and its share. Probabilities or logits and targets, both [batch, …]. */
export async function binaryCalibrationError(
  preds: Tensor,
  target: Tensor,
  options: CalibrationOptions = {},
): Promise<number> {
  return computed(new BinaryCalibrationError(options), preds, target)
}

async function computed(metric: CalibrationError, preds: Tensor, target: Tensor): Promise<number> {
  metric.update(preds, target)
  try {
    return await metric.compute()
  } finally {
    metric.reset()
  }
}

abstract class CalibrationError extends Metric<number> {
  readonly options: Required<Omit<CalibrationOptions, 'ignoreIndex'>> & Pick<CalibrationOptions, 'ignoreIndex'>

  constructor({ nBins = 15, norm = 'l1', ignoreIndex }: CalibrationOptions) {
    super()
    if (!(Number.isInteger(nBins) && nBins > 0)) throw argumentInvalid('nBins', 'a whole number above 0', nBins)
    if (!['l1', 'l2', 'max'].includes(norm)) throw argumentInvalid('norm', 'l1, l2 or max', norm)
    this.options = { nBins, norm, ignoreIndex }
  }

  /** Rows, confidence and right rows of each bin: one sum [bins + 1] each, whatever the number of batches. */
  protected bin(...given: readonly [confidence: Tensor, right: Tensor, counts: Tensor]): Record<string, Tensor> {
    const bins = this.options.nBins + 1
    const [confidence, right, counts] = given.map((values) => values.to('cpu')) as [Tensor, Tensor, Tensor]
    const dtype = confidence.dtype === 'float64' ? 'float64' : 'float32'
    const edges = linspace(0, 1, bins, { dtype, device: 'cpu' })
    const reached = confidence.unsqueeze(1).ge(edges).to('int64').sum(1) // edges at or below
    const index = reached.sub(1).mul(reached.gt(0).to('int64')) // NaN reaches none: bin 0, whose sum it makes NaN
    const weights = { rows: counts, confidence, right }
    const sum = (values: Tensor): Tensor => {
      const kept = values.to('float64').mul(counts.to('float64'))
      return zeros([bins], { dtype: 'float64', device: 'cpu' }).scatterAdd(0, index, kept)
    }
    return Object.fromEntries(Object.entries(weights).map(([name, values]) => [name, sum(values)]))
  }

  async compute(): Promise<number> {
    const [rows, confidence, right] = (await Promise.all(
      ['rows', 'confidence', 'right'].map((name) => this.sum(name).data()),
    )) as [Float64Array, Float64Array, Float64Array]
    const all = rows.reduce((a, b) => a + b, 0)
    const distances = rows.map((count, bin) =>
      count === 0 ? 0 : Math.abs((confidence[bin] ?? 0) - (right[bin] ?? 0)) / count,
    )
    const { norm } = this.options
    if (norm === 'max') return Math.max(...distances)
    const power = norm === 'l1' ? 1 : 2
    const mean = distances.reduce((sum, distance, bin) => sum + (distance ** power * (rows[bin] ?? 0)) / all, 0)
    return norm === 'l1' ? mean : Math.sqrt(mean)
  }
}

export class MulticlassCalibrationError extends CalibrationError {
  readonly numClasses: number | undefined

  constructor({ numClasses, ...options }: CalibrationOptions & { numClasses?: number | undefined } = {}) {
    super(options)
    this.numClasses = numClasses
  }

  update(preds: Tensor, target: Tensor): void {
    const { numClasses } = this
    const name = 'MulticlassCalibrationError'
    if (preds.ndim !== target.ndim + 1) throw shapesDiffer(name, preds, target, 'scores [batch, classes, …]')
    this.add(() => {
      const given = { numClasses, ignoreIndex: this.options.ignoreIndex }
      const labels = classLabels(name, preds, target, given)
      bincount(name, 'targets', labels.target, labels.counts, labels.classes)
      const confidence = probabilities(classesLast(preds), (logits) => logits.softmax(1)).amax(1)
      return this.bin(confidence, labels.predicted.eq(labels.target), labels.counts)
    })
  }
}

export class BinaryCalibrationError extends CalibrationError {
  constructor(options: CalibrationOptions = {}) {
    super(options)
  }

  update(preds: Tensor, target: Tensor): void {
    this.add(() => {
      const labels = countedRows(target, this.options.ignoreIndex)
      bincount('BinaryCalibrationError', 'targets', labels.target, labels.counts, 2)
      const confidence = binaryProbabilities('BinaryCalibrationError', preds, target)
      return this.bin(confidence, labels.target, labels.counts)
    })
  }
}
