/**
 * Areas under curves over all thresholds, as torchmetrics has them without binning: AUROC and average precision. Equal
 * scores are one threshold. Metrics over batches keep every score, 8 bytes each.
 */
import type { Tensor } from '../tensor/index.js'
import { classesLast, classLabels, countedRows, probabilities, sameRows, shapesDiffer } from './class-labels.js'
import type { Averaged } from './classification.js'
import { Metric } from './metric.js'
import { bincount } from './stat-scores.js'

export type CurveAverage = 'macro' | 'weighted' | 'none'

export interface CurveOptions<A extends CurveAverage = CurveAverage> {
  /** Number of classes; the width of the scores where absent. */
  numClasses?: number | undefined
  /** `weighted`: by the rows of each class. A class that no row has and that has no value has no part. */
  average?: A | undefined
  /** Rows with this target do not count. */
  ignoreIndex?: number | null | undefined
}

export interface BinaryCurveOptions {
  ignoreIndex?: number | null | undefined
}

/**
 * Area under the receiver operating characteristic, each class against the rest; 0 for a class that every row or none has.
 *
 * @param preds scores [batch, classes, …]; the softmax is taken unless all lie in [0, 1]
 * @param target class numbers [batch, …]
 */
export async function multiclassAuroc<A extends CurveAverage = 'macro'>(
  preds: Tensor,
  target: Tensor,
  options: CurveOptions<A> = {},
): Promise<Averaged<A>> {
  return computed(new MulticlassAUROC(options), preds, target)
}

/** Mean precision over the steps of recall, each class against the rest; NaN for a class that no row has. */
export async function multiclassAveragePrecision<A extends CurveAverage = 'macro'>(
  preds: Tensor,
  target: Tensor,
  options: CurveOptions<A> = {},
): Promise<Averaged<A>> {
  return computed(new MulticlassAveragePrecision(options), preds, target)
}

/** AUROC of class 1. Probabilities or logits and targets 0 and 1, both [batch, …]; 0 where one of the classes is missing. */
export async function binaryAuroc(preds: Tensor, target: Tensor, options: BinaryCurveOptions = {}): Promise<number> {
  return computed(new BinaryAUROC(options), preds, target)
}

/** Average precision of class 1; 0 where no target is 1. */
export async function binaryAveragePrecision(
  preds: Tensor,
  target: Tensor,
  options: BinaryCurveOptions = {},
): Promise<number> {
  return computed(new BinaryAveragePrecision(options), preds, target)
}

/** The value of one set of predictions by a metric that is used once. */
async function computed<Value>(metric: Metric<Value>, preds: Tensor, target: Tensor): Promise<Value> {
  metric.update(preds, target)
  try {
    return await metric.compute()
  } finally {
    metric.reset()
  }
}

abstract class MulticlassCurve<A extends CurveAverage> extends Metric<Averaged<A>> {
  readonly options: CurveOptions<A>
  protected abstract readonly area: Area

  constructor(options: CurveOptions<A> = {}) {
    super()
    this.options = options
  }

  update(preds: Tensor, target: Tensor): void {
    const { numClasses, ignoreIndex } = this.options
    const { name } = this.constructor
    this.append(() => {
      const given = { numClasses, ignoreIndex }
      const { target: numbers, counts, classes } = classLabels(name, preds, target, given)
      if (preds.ndim !== target.ndim + 1) throw shapesDiffer(name, preds, target, 'scores [batch, classes, …]')
      return counted(name, classesLast(preds), numbers, counts, classes, (logits) => logits.softmax(1))
    })
  }

  async compute(): Promise<Averaged<A>> {
    const { scores, target, width } = await read(this.joined('scores'), this.joined('target'))
    const areas = new Float64Array(width).map((_, column) => this.area(curveOf(scores, target, width, column, column)))
    const support = new Float64Array(width)
    for (const label of target) support[label] = (support[label] ?? 0) + 1
    return averagedOver(areas, support, this.options.average ?? 'macro') as Averaged<A>
  }
}

export class MulticlassAUROC<A extends CurveAverage = 'macro'> extends MulticlassCurve<A> {
  protected readonly area = areaUnderRoc
}

export class MulticlassAveragePrecision<A extends CurveAverage = 'macro'> extends MulticlassCurve<A> {
  protected readonly area = averagePrecision
}

abstract class BinaryCurve extends Metric<number> {
  readonly options: BinaryCurveOptions
  protected abstract readonly area: Area

  constructor(options: BinaryCurveOptions = {}) {
    super()
    this.options = options
  }

  update(preds: Tensor, target: Tensor): void {
    const { name } = this.constructor
    this.append(() => {
      const { target: numbers, counts } = countedRows(target, this.options.ignoreIndex)
      const scores = sameRows(name, preds, target).to('cpu').to('float64').unsqueeze(1)
      return counted(name, scores, numbers, counts, 2, (logits) => logits.sigmoid())
    })
  }

  async compute(): Promise<number> {
    const { scores, target } = await read(this.joined('scores'), this.joined('target'))
    return target.includes(1) ? this.area(curveOf(scores, target, 1, 0, 1)) : 0
  }
}

export class BinaryAUROC extends BinaryCurve {
  protected readonly area = areaUnderRoc
}

export class BinaryAveragePrecision extends BinaryCurve {
  protected readonly area = averagePrecision
}

/** The probabilities [rows, width] and class numbers [rows] of the rows that count. */
function counted(
  name: string,
  scores: Tensor,
  target: Tensor,
  counts: Tensor,
  classes: number,
  activation: (logits: Tensor) => Tensor,
): { scores: Tensor; target: Tensor } {
  const [labels, taken] = [target.to('cpu'), counts.to('cpu')]
  bincount(name, 'targets', labels, taken, classes) // looks whether all are below the number of classes
  const rows = taken.nonzero().flatten()
  const kept = scores.to('cpu').to('float64').indexSelect(0, rows)
  return { scores: probabilities(kept, activation), target: labels.indexSelect(0, rows) }
}

/** Right and wrong rows at or above each distinct score, from the highest score down. */
interface Curve {
  truePositives: number[]
  falsePositives: number[]
}

type Area = (curve: Curve) => number

/** The curve of `column` of scores [rows, width], where rows of the class `positive` are right. */
function curveOf(scores: Float64Array, target: number[], width: number, column: number, positive: number): Curve {
  const at = (row: number): number => scores[row * width + column] ?? NaN
  const order = Uint32Array.from(target.keys()).sort((a, b) => at(b) - at(a))
  const curve: Curve = { truePositives: [], falsePositives: [] }
  let right = 0
  for (const [position, row] of order.entries()) {
    // NaN is in no order with anything: nothing can be said then.
    if (Number.isNaN(at(row))) return { truePositives: [NaN], falsePositives: [NaN] }
    right += Number(target[row] === positive)
    const next = order[position + 1]
    if (next !== undefined && at(next) === at(row)) continue
    curve.truePositives.push(right)
    curve.falsePositives.push(position + 1 - right)
  }
  return curve
}

/** By the trapezoid rule from (0, 0), as shares of all right and all wrong rows. */
function areaUnderRoc({ truePositives, falsePositives }: Curve): number {
  const [right = 0, wrong = 0] = [truePositives.at(-1), falsePositives.at(-1)]
  if (right === 0 || wrong === 0) return 0
  let area = 0
  for (const [index, height] of truePositives.entries()) {
    const step = (falsePositives[index] ?? 0) - (falsePositives[index - 1] ?? 0)
    area += (step * (height + (truePositives[index - 1] ?? 0))) / 2
  }
  return area / (right * wrong)
}

/** Σ precision · step of recall; NaN without a right row. */
function averagePrecision({ truePositives, falsePositives }: Curve): number {
  const right = truePositives.at(-1) ?? 0
  if (right === 0) return NaN
  const sum = truePositives.reduce((all, found, index) => {
    const step = found - (truePositives[index - 1] ?? 0)
    return all + (step * found) / (found + (falsePositives[index] ?? 0))
  }, 0)
  return sum / right
}

function averagedOver(areas: Float64Array, support: Float64Array, average: CurveAverage): Float64Array | number {
  if (average === 'none') return areas
  let [sum, weights] = [0, 0]
  for (const [index, area] of areas.entries()) {
    if (Number.isNaN(area) && support[index] === 0) continue // NaN of scores stays NaN
    const weight = average === 'weighted' ? (support[index] ?? 0) : 1
    sum += area * weight
    weights += weight
  }
  return sum / weights
}

async function read(
  scores: Tensor,
  target: Tensor,
): Promise<{ scores: Float64Array; target: number[]; width: number }> {
  const found = {
    scores: (await scores.data()) as Float64Array,
    target: Array.from((await target.data()) as BigInt64Array, Number),
    width: scores.shape[1] ?? 0,
  }
  scores.dispose()
  target.dispose()
  return found
}
