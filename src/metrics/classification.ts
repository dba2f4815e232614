/**
 * Accuracy, precision, recall and F of classes, as torchmetrics has them: a function for one set of predictions, a metric
 * of the same name for many batches. What they count is in `stat-scores`.
 */
import type { Tensor } from '../tensor/index.js'
import type { LabelOptions } from './class-labels.js'
import { Metric } from './metric.js'
import { type BinaryOptions, binaryStatScores, multiclassStatScores } from './stat-scores.js'

/**
 * How the classes become one number: `micro` counts all rows alike, `macro` all classes, `weighted` classes by their rows,
 * `none` keeps one number a class. Classes that neither occur nor are predicted have no part in `macro`.
 */
export type Average = 'micro' | 'macro' | 'weighted' | 'none'

export type Averaged<A extends Average> = A extends 'none' ? Float64Array : number

export interface ScoreOptions<A extends Average = Average> extends LabelOptions {
  average?: A | undefined
  /** The value of 0 / 0; 0 where absent. */
  zeroDivision?: 0 | 1
}

export interface BinaryScoreOptions extends BinaryOptions {
  zeroDivision?: 0 | 1
}

/** Counts of one class, or of all together. */
interface Counts {
  truePositives: number
  falsePositives: number
  trueNegatives: number
  falseNegatives: number
}

interface Score {
  /** What is divided by what. */
  ratio(counts: Counts): [numerator: number, denominator: number]
  /** With topK above 1: a class that does not occur has no part in `macro`, predicted or not. torchmetrics has it so. */
  onlyOccurring: boolean
}

const recall: Score = {
  ratio: ({ truePositives, falseNegatives }) => [truePositives, truePositives + falseNegatives],
  onlyOccurring: true,
}

const precision: Score = {
  ratio: ({ truePositives, falsePositives }) => [truePositives, truePositives + falsePositives],
  onlyOccurring: true,
}

const rightOfAll: Score = {
  ratio: ({ truePositives, trueNegatives, falsePositives, falseNegatives }) => {
    const right = truePositives + trueNegatives
    return [right, right + falsePositives + falseNegatives]
  },
  onlyOccurring: true,
}

/** (1 + β²)·TP / ((1 + β²)·TP + β²·FN + FP) (van Rijsbergen 1979): β times as much weight on recall as on precision. */
const fBeta = (beta: number): Score => ({
  ratio: ({ truePositives, falsePositives, falseNegatives }) => {
    const right = (1 + beta ** 2) * truePositives
    return [right, right + beta ** 2 * falseNegatives + falsePositives]
  },
  onlyOccurring: false,
})

// --- functions -----------------------------------------------------------------------------------------------------

/**
 * Share of rows whose class is predicted: of all (`micro`), or of each class's rows.
 *
 * @param preds scores [batch, classes, …], or class numbers [batch, …]
 * @param target class numbers [batch, …]
 * @throws ERR_SHAPE when the shapes do not fit, ERR_ARGUMENT when a class number is out of range; so all below
 */
export function multiclassAccuracy<A extends Average = 'macro'>(
  preds: Tensor,
  target: Tensor,
  options: ScoreOptions<A> = {},
): Promise<Averaged<A>> {
  return multiclassScore(recall, preds, target, options)
}

/** Share of the rows predicted to be of a class that are of it. */
export function multiclassPrecision<A extends Average = 'macro'>(
  preds: Tensor,
  target: Tensor,
  options: ScoreOptions<A> = {},
): Promise<Averaged<A>> {
  return multiclassScore(precision, preds, target, options)
}

/** Share of the rows of a class that are predicted to be of it. */
export function multiclassRecall<A extends Average = 'macro'>(
  preds: Tensor,
  target: Tensor,
  options: ScoreOptions<A> = {},
): Promise<Averaged<A>> {
  return multiclassScore(recall, preds, target, options)
}

/** Harmonic mean of precision and recall; with `beta`, recall counts β times as much. */
export function multiclassF1Score<A extends Average = 'macro'>(
  preds: Tensor,
  target: Tensor,
  { beta = 1, ...options }: ScoreOptions<A> & { beta?: number } = {},
): Promise<Averaged<A>> {
  return multiclassScore(fBeta(beta), preds, target, options)
}

/** Share of rows that are right. Probabilities or logits, or 0 and 1, and targets 0 and 1, both [batch, …]. */
export function binaryAccuracy(preds: Tensor, target: Tensor, options: BinaryScoreOptions = {}): Promise<number> {
  return binaryScore(rightOfAll, preds, target, options)
}

/** Share of the rows predicted to be 1 that are 1. */
export function binaryPrecision(preds: Tensor, target: Tensor, options: BinaryScoreOptions = {}): Promise<number> {
  return binaryScore(precision, preds, target, options)
}

/** Share of the rows that are 1 and are predicted to be 1. */
export function binaryRecall(preds: Tensor, target: Tensor, options: BinaryScoreOptions = {}): Promise<number> {
  return binaryScore(recall, preds, target, options)
}

/** Harmonic mean of precision and recall of class 1. */
export function binaryF1Score(
  preds: Tensor,
  target: Tensor,
  { beta = 1, ...options }: BinaryScoreOptions & { beta?: number } = {},
): Promise<number> {
  return binaryScore(fBeta(beta), preds, target, options)
}

// --- metrics over batches ------------------------------------------------------------------------------------------

abstract class MulticlassScore<A extends Average> extends Metric<Averaged<A>> {
  readonly options: ScoreOptions<A>
  protected abstract readonly score: Score

  constructor(options: ScoreOptions<A> = {}) {
    super()
    this.options = options
  }

  update(preds: Tensor, target: Tensor): void {
    this.add(() => ({ counts: multiclassStatScores(preds, target, this.options) }))
  }

  async compute(): Promise<Averaged<A>> {
    return averaged(await readCounts(this.sum('counts')), this.score, this.options)
  }
}

export class MulticlassAccuracy<A extends Average = 'macro'> extends MulticlassScore<A> {
  protected readonly score = recall
}

export class MulticlassPrecision<A extends Average = 'macro'> extends MulticlassScore<A> {
  protected readonly score = precision
}

export class MulticlassRecall<A extends Average = 'macro'> extends MulticlassScore<A> {
  protected readonly score = recall
}

export class MulticlassF1Score<A extends Average = 'macro'> extends MulticlassScore<A> {
  protected readonly score: Score

  constructor({ beta = 1, ...options }: ScoreOptions<A> & { beta?: number } = {}) {
    super(options)
    this.score = fBeta(beta)
  }
}

abstract class BinaryScore extends Metric<number> {
  readonly options: BinaryScoreOptions
  protected abstract readonly score: Score

  constructor(options: BinaryScoreOptions = {}) {
    super()
    this.options = options
  }

  update(preds: Tensor, target: Tensor): void {
    this.add(() => ({ counts: binaryStatScores(preds, target, this.options) }))
  }

  async compute(): Promise<number> {
    return divided(this.score, total(await readCounts(this.sum('counts'))), this.options.zeroDivision)
  }
}

export class BinaryAccuracy extends BinaryScore {
  protected readonly score = rightOfAll
}

export class BinaryPrecision extends BinaryScore {
  protected readonly score = precision
}

export class BinaryRecall extends BinaryScore {
  protected readonly score = recall
}

export class BinaryF1Score extends BinaryScore {
  protected readonly score: Score

  constructor({ beta = 1, ...options }: BinaryScoreOptions & { beta?: number } = {}) {
    super(options)
    this.score = fBeta(beta)
  }
}

// --- from counts to a value ----------------------------------------------------------------------------------------

async function multiclassScore<A extends Average>(
  score: Score,
  preds: Tensor,
  target: Tensor,
  options: ScoreOptions<A>,
): Promise<Averaged<A>> {
  const counts = multiclassStatScores(preds, target, options)
  const read = await readCounts(counts)
  counts.dispose()
  return averaged(read, score, options)
}

async function binaryScore(score: Score, preds: Tensor, target: Tensor, options: BinaryScoreOptions): Promise<number> {
  const counts = binaryStatScores(preds, target, options)
  const [read] = await readCounts(counts)
  counts.dispose()
  return divided(score, read as Counts, options.zeroDivision)
}

/** The value from the counts of each class. */
function averaged<A extends Average>(
  counts: Counts[],
  score: Score,
  { average = 'macro' as A, topK = 1, zeroDivision }: ScoreOptions<A>,
): Averaged<A> {
  return averageOf(counts, score, average, topK, zeroDivision) as Averaged<A>
}

function averageOf(
  counts: Counts[],
  score: Score,
  average: Average,
  topK: number,
  zeroDivision: number | undefined,
): number | Float64Array {
  if (average === 'micro') return divided(score, total(counts), zeroDivision)
  const scores = Float64Array.from(counts, (one) => divided(score, one, zeroDivision))
  if (average === 'none') return scores
  const weights = counts.map(({ truePositives, falsePositives, falseNegatives }) => {
    const support = truePositives + falseNegatives
    if (average === 'weighted') return support
    return Number(topK > 1 && score.onlyOccurring ? support > 0 : support + falsePositives > 0)
  })
  const sum = weights.reduce((a, b) => a + b, 0)
  return sum === 0 ? 0 : scores.reduce((all, value, index) => all + (value * (weights[index] ?? 0)) / sum, 0)
}

function divided({ ratio }: Score, counts: Counts, zeroDivision = 0): number {
  const [numerator, denominator] = ratio(counts)
  return denominator === 0 ? zeroDivision : numerator / denominator
}

function total(counts: Counts[]): Counts {
  const sum = (key: keyof Counts): number => counts.reduce((all, one) => all + one[key], 0)
  return {
    truePositives: sum('truePositives'),
    falsePositives: sum('falsePositives'),
    trueNegatives: sum('trueNegatives'),
    falseNegatives: sum('falseNegatives'),
  }
}

async function readCounts(statScores: Tensor): Promise<Counts[]> {
  const values = Array.from((await statScores.data()) as BigInt64Array, Number)
  return Array.from({ length: values.length / 5 }, (_, row) => {
    const [truePositives = 0, falsePositives = 0, trueNegatives = 0, falseNegatives = 0] = values.slice(5 * row)
    return { truePositives, falsePositives, trueNegatives, falseNegatives }
  })
}
