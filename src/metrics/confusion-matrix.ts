/** The confusion matrix: how often each class is taken for each other. */
import { noGrad, scope, type Tensor } from '../tensor/index.js'
import { classLabels, type LabelOptions } from './class-labels.js'
import { Metric } from './metric.js'
import { binaryLabels, bincount, type BinaryOptions } from './stat-scores.js'

/** Divides each row (`true`), each column (`pred`) or everything (`all`) by its sum; what would be 0 / 0 is 0. */
export type Normalize = 'true' | 'pred' | 'all' | 'none'

export type ConfusionMatrixOptions = Omit<LabelOptions, 'topK'> & { normalize?: Normalize | null }

export type BinaryConfusionMatrixOptions = BinaryOptions & { normalize?: Normalize | null }

/**
 * [classes, classes]: rows are targets, columns predictions. int64, or float32 where it is normalised.
 *
 * @param preds scores [batch, classes, …], or class numbers [batch, …]
 * @param target class numbers [batch, …]
 */
export function multiclassConfusionMatrix(
  preds: Tensor,
  target: Tensor,
  { normalize, ...options }: ConfusionMatrixOptions = {},
): Tensor {
  return noGrad(() =>
    scope(() => normalized(counted(classLabels('confusionMatrix', preds, target, options)), normalize)),
  )
}

/** [2, 2] of probabilities, logits, or class numbers 0 and 1, and of targets, both [batch, …]. */
export function binaryConfusionMatrix(
  preds: Tensor,
  target: Tensor,
  { normalize, ...options }: BinaryConfusionMatrixOptions = {},
): Tensor {
  return noGrad(() =>
    scope(() => normalized(counted(binaryLabels('confusionMatrix', preds, target, options)), normalize)),
  )
}

/** The matrix over all batches. */
export class MulticlassConfusionMatrix extends Metric<Tensor> {
  readonly options: ConfusionMatrixOptions

  constructor(options: ConfusionMatrixOptions = {}) {
    super()
    this.options = options
  }

  update(preds: Tensor, target: Tensor): void {
    this.add(() => ({ counts: counted(classLabels('MulticlassConfusionMatrix', preds, target, this.options)) }))
  }

  compute(): Promise<Tensor> {
    return Promise.resolve(noGrad(() => scope(() => normalized(this.sum('counts').clone(), this.options.normalize))))
  }
}

export class BinaryConfusionMatrix extends Metric<Tensor> {
  readonly options: BinaryConfusionMatrixOptions

  constructor(options: BinaryConfusionMatrixOptions = {}) {
    super()
    this.options = options
  }

  update(preds: Tensor, target: Tensor): void {
    this.add(() => ({ counts: counted(binaryLabels('BinaryConfusionMatrix', preds, target, this.options)) }))
  }

  compute(): Promise<Tensor> {
    return Promise.resolve(noGrad(() => scope(() => normalized(this.sum('counts').clone(), this.options.normalize))))
  }
}

/** int64 [classes, classes] */
function counted({ predicted, target, counts, classes }: ReturnType<typeof classLabels>): Tensor {
  // Each is looked at alone first: a pair of numbers out of range might fall on another pair's place.
  bincount('confusionMatrix', 'targets', target, counts, classes)
  bincount('confusionMatrix', 'predictions', predicted, counts, classes)
  const pairs = target.mul(classes).add(predicted)
  return bincount('confusionMatrix', 'pairs', pairs, counts, classes * classes).reshape([classes, classes])
}

function normalized(counts: Tensor, normalize: Normalize | null | undefined): Tensor {
  if (normalize === undefined || normalize === null || normalize === 'none') return counts
  const exact = counts.to('cpu').to('float64')
  const sums = normalize === 'all' ? exact.sum() : exact.sum(normalize === 'true' ? 1 : 0, true)
  return exact.div(sums.clamp(1)).to('float32')
}
