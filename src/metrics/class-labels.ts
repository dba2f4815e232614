/** Brings predictions and targets of any accepted form to class numbers or probabilities. It counts nothing. */
import { argumentInvalid, SptError } from '../errors.js'
import { where, type Tensor } from '../tensor/index.js'

export interface LabelOptions {
  /** Number of classes; the width of the scores where absent. Needed where predictions are class numbers. */
  numClasses?: number | undefined
  /** A prediction among the `topK` highest scores is right; otherwise the highest score is what was predicted. */
  topK?: number
  /** Rows with this target do not count. */
  ignoreIndex?: number | null | undefined
}

/** Class numbers [rows] of both, how many classes, and which rows count (0 or 1, int64). */
export interface ClassLabels {
  predicted: Tensor
  target: Tensor
  counts: Tensor
  classes: number
}

/**
 * From scores [batch, classes, …] (or class numbers [batch, …]) and class numbers [batch, …].
 *
 * @throws ERR_SHAPE when the shapes do not fit, ERR_ARGUMENT when the number of classes is unknown or topK too large.
 */
export function classLabels(name: string, preds: Tensor, target: Tensor, options: LabelOptions = {}): ClassLabels {
  const { topK = 1, ignoreIndex } = options
  const scored = preds.ndim === target.ndim + 1
  const classes = options.numClasses ?? (scored ? preds.shape[1] : undefined)
  if (classes === undefined) throw argumentInvalid(`${name}: numClasses`, 'the number of classes', classes)
  if (!(Number.isInteger(topK) && topK >= 1 && topK <= classes)) {
    throw argumentInvalid(`${name}: topK`, `a whole number from 1 to the ${classes} classes`, topK)
  }
  const lead = scored ? [preds.shape[0], ...preds.shape.slice(2)] : preds.shape
  if (lead.join() !== target.shape.join() || (scored && preds.shape[1] !== classes) || target.ndim === 0) {
    throw shapesDiffer(name, preds, target, `scores [batch, ${classes}, …] or class numbers [batch, …]`)
  }
  if (!scored && topK > 1) throw argumentInvalid(`${name}: topK`, '1, as predictions are class numbers', topK)
  const { target: kept, counts } = countedRows(target, ignoreIndex)
  return {
    predicted: scored ? predictedOf(classesLast(preds), kept, topK) : whole(preds),
    target: kept,
    counts,
    classes,
  }
}

/** Scores [batch, classes, …] as rows [batch · …, classes]. */
export function classesLast(scores: Tensor): Tensor {
  const { ndim, shape } = scores
  const order = Array.from({ length: ndim }, (_, axis) => axis).filter((axis) => axis !== 1)
  return scores
    .detach()
    .permute([...order, 1])
    .reshape([shape.reduce((a, b) => a * b, 1) / (shape[1] || 1), shape[1] ?? 0])
}

/** The targets [rows] with 0 in the place of those that do not count, and which do. */
export function countedRows(
  target: Tensor,
  ignoreIndex: number | null | undefined,
): { target: Tensor; counts: Tensor } {
  const numbers = whole(target)
  if (ignoreIndex === null || ignoreIndex === undefined) return { target: numbers, counts: numbers.mul(0).add(1) }
  const counts = numbers.ne(ignoreIndex).to('int64')
  return { target: numbers.mul(counts), counts }
}

/** Class numbers as one row of int64. @throws ERR_DTYPE for floating point. */
function whole(labels: Tensor): Tensor {
  if (labels.dtype.startsWith('float')) {
    throw new SptError('ERR_DTYPE', `class numbers [${labels.shape.join(', ')}] are ${labels.dtype}, expected int64`, {
      hint: "Convert them with .to('int64'); scores have one axis more than targets: [batch, classes, …].",
    })
  }
  return labels.detach().flatten().to('int64')
}

function predictedOf(scores: Tensor, target: Tensor, topK: number): Tensor {
  if (topK === 1) return scores.argmax(1)
  const best = scores.topk(topK, 1)[1] // [rows, topK], the highest first
  const found = best.eq(target.unsqueeze(1)).to('int64').sum(1).gt(0)
  return where(found, target, best.select(1, 0))
}

/** Scores as they are where all of them lie in [0, 1]; else what `activation` makes of them. */
export function probabilities(scores: Tensor, activation: (logits: Tensor) => Tensor): Tensor {
  if (scores.numel === 0) return scores
  const inside = scores.ge(0).to('uint8').mul(scores.le(1).to('uint8'))
  return where(inside.amin().to('bool'), scores, activation(scores))
}

/** Probabilities [rows] of class 1 from predictions [batch, …] of the targets' shape; the sigmoid is taken of logits. */
export function binaryProbabilities(name: string, preds: Tensor, target: Tensor): Tensor {
  return probabilities(sameRows(name, preds, target), (logits) => logits.sigmoid())
}

/** Predictions of the targets' shape as one row. */
export function sameRows(name: string, preds: Tensor, target: Tensor): Tensor {
  if (preds.shape.join() !== target.shape.join() || target.ndim === 0) {
    throw shapesDiffer(name, preds, target, 'predictions and targets of one shape [batch, …]')
  }
  return preds.detach().flatten()
}

export function shapesDiffer(name: string, preds: Tensor, target: Tensor, expected: string): SptError {
  const got = `predictions [${preds.shape.join(', ')}] and targets [${target.shape.join(', ')}]`
  return new SptError('ERR_SHAPE', `${name}: expected ${expected}, got ${got}`)
}
