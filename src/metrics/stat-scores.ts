/** Counts of right and wrong predictions a class, on which accuracy, precision, recall and F stand. */
import { SptError, errorCode } from '../errors.js'
import { type DeviceName, noGrad, scope, stack, type Tensor, zeros } from '../tensor/index.js'
import { binaryProbabilities, classLabels, type LabelOptions } from './class-labels.js'

export interface BinaryOptions {
  /** A probability above it means class 1. */
  threshold?: number
  /** Rows with this target do not count. */
  ignoreIndex?: number | null | undefined
}

/**
 * True positives, false positives, true negatives, false negatives and support of each class: int64 [classes, 5].
 *
 * @param preds scores [batch, classes, …], or class numbers [batch, …]
 * @param target class numbers [batch, …]
 * @throws ERR_SHAPE when the shapes do not fit, ERR_ARGUMENT when a class number is not below the number of classes.
 */
export function multiclassStatScores(preds: Tensor, target: Tensor, options: LabelOptions = {}): Tensor {
  return noGrad(() =>
    scope(() => countsOf('multiclassStatScores', classLabels('multiclassStatScores', preds, target, options))),
  )
}

/** The counts of class 1: int64 [5]. Probabilities or logits, or class numbers 0 and 1, and targets, both [batch, …]. */
export function binaryStatScores(preds: Tensor, target: Tensor, options: BinaryOptions = {}): Tensor {
  return noGrad(() =>
    scope(() =>
      countsOf('binaryStatScores', binaryLabels('binaryStatScores', preds, target, options))
        .select(0, 1)
        .clone(),
    ),
  )
}

export function binaryLabels(
  name: string,
  preds: Tensor,
  target: Tensor,
  { threshold = 0.5, ignoreIndex }: BinaryOptions,
): ReturnType<typeof classLabels> {
  const labels = preds.dtype.startsWith('float')
    ? binaryProbabilities(name, preds, target).gt(threshold).to('int64').reshape(target.shape)
    : preds
  return classLabels(name, labels, target, { numClasses: 2, ignoreIndex })
}

function countsOf(name: string, { predicted, target, counts, classes }: ReturnType<typeof classLabels>): Tensor {
  const right = predicted.eq(target).to('int64').mul(counts)
  const truePositives = bincount(name, 'targets', target, right, classes) // [classes]
  const support = bincount(name, 'targets', target, counts, classes)
  const guessed = bincount(name, 'predictions', predicted, counts, classes)
  const falsePositives = guessed.sub(truePositives)
  const falseNegatives = support.sub(truePositives)
  const trueNegatives = counts.sum().sub(truePositives).sub(falsePositives).sub(falseNegatives)
  return stack([truePositives, falsePositives, trueNegatives, falseNegatives, support], 1)
}

/** Σ weight of each class number: int64 [classes]. */
export function bincount(name: string, what: string, index: Tensor, weight: Tensor, classes: number): Tensor {
  try {
    return zeros([classes], { dtype: 'int64', device: index.device as DeviceName }).scatterAdd(0, index, weight)
  } catch (cause) {
    if (errorCode(cause) === undefined) throw cause
    throw new SptError('ERR_ARGUMENT', `${name}: the ${what} are class numbers outside 0 … ${classes - 1}`, {
      cause,
      hint: 'Set numClasses to the number of classes, or ignoreIndex to the number that marks rows to leave out.',
    })
  }
}
