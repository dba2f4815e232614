/** Losses on soft assignments to prototypes: SwAV, DINO, iBOT, DINOv2, MSN, PMSN. Sinkhorn balances the assignments. */
import { SptError } from '../errors.js'
import { Module } from '../nn/index.js'
import { cat, noGrad, type Tensor, tensor } from '../tensor/index.js'
import { matrixSizes, pairSizes, sameShapes, shapeOf } from './shapes.js'

/**
 * Sinkhorn–Knopp: scores [samples, prototypes] to assignments whose rows sum to 1 and whose columns share the samples
 * evenly (Cuturi 2013; Caron et al. 2020, arXiv:2006.09882, eq. 3). Carries no gradient.
 */
export function sinkhornKnopp(scores: Tensor, { temperature = 0.05, iterations = 3 } = {}): Tensor {
  return noGrad(() => {
    const [samples, prototypes] = matrixSizes('sinkhornKnopp', scores)
    const scaled = scores.detach().div(temperature)
    // The first round divides each column by its sum, so a column's largest score may be taken off before exp: no column
    // is 0 then, however small its scores.
    const largest = iterations > 0 ? scaled.amax(0, true) : scaled.amax()
    let q = scaled.sub(largest).exp() // [samples, prototypes]
    q = q.div(q.sum())
    for (let round = 0; round < iterations; round += 1) {
      q = q.div(q.sum(0, true)).div(prototypes)
      q = q.div(q.sum(1, true)).div(samples)
    }
    return q.mul(samples)
  })
}

/** −Σ target · log softmax(logits / τ) over the last axis; targets are probabilities of the logits' shape. */
export function softCrossEntropy(target: Tensor, logits: Tensor, temperature: number): Tensor {
  sameShapes('softCrossEntropy', target, logits)
  return target.mul(logits.div(temperature).logSoftmax(-1)).sum(-1).neg()
}

export interface SwAVOptions {
  temperature?: number
  sinkhornIterations?: number
  epsilon?: number
}

/** SwAV (Caron et al. 2020, arXiv:2006.09882, eq. 1 and 2). Each view predicts the other's Sinkhorn code. */
export class SwAVLoss extends Module {
  readonly options: Required<SwAVOptions>

  constructor({ temperature = 0.1, sinkhornIterations = 3, epsilon = 0.05 }: SwAVOptions = {}) {
    super()
    this.options = { temperature, sinkhornIterations, epsilon }
  }

  /**
   * @param first [samples, dim], @param second [samples, dim]
   * @param prototypes weight [prototypes, dim]; its rows are made unit length in place, outside the graph
   * @param queue projections of earlier batches [rows, dim], which only balance the codes
   */
  forward(first: Tensor, second: Tensor, prototypes: Tensor, queue?: Tensor): Tensor {
    const [, dim] = pairSizes('SwAVLoss', first, second)
    checkWidth(dim, prototypes, queue)
    normaliseRows(prototypes)
    const { temperature } = this.options
    const scores = [first, second].map((z) => z.normalize().matmul(prototypes.t())) as [Tensor, Tensor]
    const [firstCodes, secondCodes] = this.codes(scores, prototypes, queue)
    const a = softCrossEntropy(secondCodes, scores[0], temperature).mean()
    const b = softCrossEntropy(firstCodes, scores[1], temperature).mean()
    return a.add(b).mul(0.5)
  }

  /** The codes of both views, balanced together with those of the queue: their rows of `allCodes`. */
  codes(scores: [Tensor, Tensor], prototypes: Tensor, queue?: Tensor): [Tensor, Tensor] {
    const count = scores[0].shape[0] ?? 0
    const all = this.allCodes(scores, prototypes, queue)
    return [all.narrow(0, 0, count), all.narrow(0, count, count)]
  }

  /** [first; second; queue] × prototypes. */
  allCodes(scores: [Tensor, Tensor], prototypes: Tensor, queue?: Tensor): Tensor {
    return noGrad(() => {
      const rows = queue ? [...scores, queue.normalize().matmul(prototypes.t())] : scores
      const { epsilon, sinkhornIterations } = this.options
      return sinkhornKnopp(cat(rows, 0), { temperature: epsilon, iterations: sinkhornIterations })
    })
  }
}

function checkWidth(dim: number, prototypes: Tensor, queue: Tensor | undefined): void {
  const fits = (rows: Tensor): boolean => rows.ndim === 2 && rows.shape[1] === dim
  if (fits(prototypes) && (!queue || fits(queue))) return
  const queued = queue ? ` and a queue ${shapeOf(queue)}` : ''
  throw new SptError(
    'ERR_SHAPE',
    `SwAVLoss: projections of ${dim} dimensions, prototypes ${shapeOf(prototypes)}${queued}`,
  )
}

export interface SwAVCropsOptions extends SwAVOptions {
  /** Whether local crops have codes too, which global ones predict, as in stable-pretraining; in the paper they have none. */
  localCodes?: boolean
  /** Earlier projections of each global crop [rows, dim], which only balance its codes. */
  queues?: readonly Tensor[] | undefined
}

/**
 * SwAV over many crops (Caron et al. 2020, arXiv:2006.09882, section 3.2): codes per view, and every pair (global i, later
 * view j) predicts each other's code. Projections [samples, dim]; call `normaliseRows(prototypes)` once a step before.
 */
export function swavMultiCrop(
  globals: readonly Tensor[],
  locals: readonly Tensor[],
  prototypes: Tensor,
  options: SwAVCropsOptions = {},
): Tensor {
  const { temperature = 0.1, sinkhornIterations: iterations = 3, epsilon = 0.05, localCodes = true, queues } = options
  const scores = [...globals, ...locals].map((z) => z.normalize().matmul(prototypes.t()))
  const codesOf = (own: Tensor, queue: Tensor | undefined): Tensor => {
    const all = queue ? cat([own, noGrad(() => queue.normalize().matmul(prototypes.t()))]) : own
    return sinkhornKnopp(all, { temperature: epsilon, iterations }).narrow(0, 0, own.shape[0] ?? 0)
  }
  const coded = localCodes ? scores.length : globals.length
  const codes = scores.slice(0, coded).map((own, view) => codesOf(own, queues?.[view]))
  const terms: Tensor[] = []
  for (let i = 0; i < globals.length; i += 1) {
    for (let j = i + 1; j < scores.length; j += 1) {
      const [first, second] = [scores[i] as Tensor, scores[j] as Tensor]
      if (j < coded) terms.push(softCrossEntropy(codes[j] as Tensor, first, temperature).mean())
      terms.push(softCrossEntropy(codes[i] as Tensor, second, temperature).mean())
    }
  }
  return meanOf(terms, 'swavMultiCrop needs two views or more')
}

/** Makes the rows of a weight unit length, in place and outside the graph. */
export function normaliseRows(weight: Tensor): void {
  noGrad(() => weight.copy_(weight.detach().normalize()))
}

/**
 * DINO's loss (Caron et al. 2021, arXiv:2104.14294, eq. 1) with the centre of the teacher's logits as checkpointed state.
 * The centre of a batch is applied from the next batch on.
 */
export class DINOv1Loss extends Module {
  readonly temperatureStudent: number
  readonly centerMomentum: number
  /** [1, prototypes] once a batch has been seen; its size is known only then. */
  center: Tensor | null = null
  private pending: Tensor | null = null

  constructor({ temperatureStudent = 0.1, centerMomentum = 0.9 } = {}) {
    super()
    this.temperatureStudent = temperatureStudent
    this.centerMomentum = centerMomentum
  }

  /**
   * @param student logits [student views, samples, prototypes]
   * @param teacher probabilities [teacher views, samples, prototypes]; pairs of the same view index do not count
   */
  forward(student: Tensor, teacher: Tensor): Tensor {
    return crossViewEntropy(student, teacher, this.temperatureStudent)
  }

  /** softmax((logits − centre) / τ), with the queued centre applied first unless `updateCenters` is false. */
  softmaxCenterTeacher(logits: Tensor, temperature: number, { updateCenters = true } = {}): Tensor {
    if (updateCenters) this.applyCenterUpdate()
    const centred = this.center ? logits.sub(this.center.detach().clone()) : logits
    return centred.div(temperature).softmax(-1).detach()
  }

  /** Teacher logits [..., prototypes] as Sinkhorn assignments, all rows together. */
  sinkhornKnoppTeacher(logits: Tensor, temperature: number, { iterations = 3 } = {}): Tensor {
    return sinkhornOfRows(logits, temperature, iterations)
  }

  /** Queues the mean of these teacher logits [views, samples, prototypes] for the centre. */
  updateCenter(logits: Tensor): void {
    this.applyCenterUpdate()
    const [, , prototypes = 0] = logits.shape
    const known = this.center?.shape[1] ?? prototypes
    if (logits.ndim !== 3 || prototypes !== known) {
      const expected = `[views, samples, ${this.center ? known : 'prototypes'}]`
      throw new SptError('ERR_SHAPE', `DINOv1Loss: expected teacher logits ${expected}, got ${shapeOf(logits)}`)
    }
    this.pending = noGrad(() => logits.detach().mean([0, 1]).reshape([1, prototypes])).keep()
  }

  applyCenterUpdate(): void {
    const { pending } = this
    if (!pending) return
    this.pending = null
    if (this.center) {
      const { center, centerMomentum } = this
      noGrad(() => center.copy_(center.mul(centerMomentum).add(pending.mul(1 - centerMomentum))))
      pending.dispose()
    } else {
      this.center = this.registerBuffer('center', pending)
    }
  }

  override *ownParameters(): Generator<[string, Tensor]> {
    // The queued batch mean is a tensor in a field, but neither parameter nor buffer.
  }

  /** Everything a continuation needs, the queued mean included. */
  override *ownBuffers(options: { persistentOnly?: boolean } = {}): Generator<[string, Tensor]> {
    yield* super.ownBuffers(options)
    if (this.pending) yield ['pending', this.pending]
  }

  protected override makeRoom(state: ReadonlyMap<string, Tensor>): void {
    const [center, pending] = [state.get('center'), state.get('pending')]
    if (center && !this.center) this.center = this.registerBuffer('center', center.clone())
    if (pending && !this.pending) this.pending = pending.clone().keep()
  }
}

/** Σ over different views of H(teacher, softmax(student / τ)), divided by (S·T − min(S, T)) · samples. */
export function crossViewEntropy(student: Tensor, teacher: Tensor, temperature: number): Tensor {
  const [students = 0, samples = 0, prototypes = 0] = student.shape
  const [teachers = 0] = teacher.shape
  if (student.ndim !== 3 || teacher.shape.slice(1).join() !== student.shape.slice(1).join()) {
    throw new SptError(
      'ERR_SHAPE',
      `student ${shapeOf(student)} and teacher ${shapeOf(teacher)} differ beyond the view axis, or are not [views, samples, prototypes]`,
    )
  }
  const count = students * teachers - Math.min(students, teachers)
  if (count * samples === 0) {
    throw new SptError(
      'ERR_SHAPE',
      `student ${shapeOf(student)} and teacher ${shapeOf(teacher)}: no two different views`,
    )
  }
  const logProbabilities = student
    .div(temperature)
    .logSoftmax(-1)
    .reshape([students, samples * prototypes])
  const pairs = logProbabilities.matmul(teacher.reshape([teachers, samples * prototypes]).t()) // [students, teachers]
  const weights = Array.from({ length: students }, (_, s) =>
    Array.from({ length: teachers }, (_, t) => Number(s !== t)),
  )
  return pairs
    .mul(tensor(weights, { dtype: student.dtype }))
    .sum()
    .div(-count * samples)
}

/** iBOT's loss on masked patches (Zhou et al. 2022, arXiv:2111.07832, eq. 2): rows are the masked patches. */
export class IBOTPatchLoss extends Module {
  readonly studentTemp: number

  constructor({ studentTemp = 0.1 } = {}) {
    super()
    this.studentTemp = studentTemp
  }

  /** Teacher logits [patches, prototypes] as Sinkhorn assignments. */
  sinkhornKnoppTeacher(logits: Tensor, temperature: number, { iterations = 3 } = {}): Tensor {
    return sinkhornOfRows(logits, temperature, iterations)
  }

  /** Student logits and teacher probabilities, both [patches, prototypes]; the rows are the masked patches. */
  forward(student: Tensor, teacher: Tensor): Tensor {
    return softCrossEntropy(teacher, student, this.studentTemp).mean()
  }
}

export { IBOTPatchLoss as iBOTPatchLoss }

function sinkhornOfRows(logits: Tensor, temperature: number, iterations: number): Tensor {
  const rows = logits.reshape([-1, logits.shape.at(-1) ?? 0])
  return sinkhornKnopp(rows, { temperature, iterations }).reshape(logits.shape)
}

export interface DINOv2Options {
  dinoLossWeight?: number
  ibotLossWeight?: number
  temperatureStudent?: number
  centerMomentum?: number
  studentTemp?: number
}

/** DINOv2 (Oquab et al. 2024, arXiv:2304.07193): the weighted sum of DINO's loss and iBOT's. */
export class DINOv2Loss extends Module {
  readonly weights: { dino: number; ibot: number }
  readonly dino: DINOv1Loss
  readonly ibot: IBOTPatchLoss

  constructor(options: DINOv2Options = {}) {
    super()
    const { dinoLossWeight = 1, ibotLossWeight = 1, temperatureStudent = 0.1, centerMomentum = 0.9 } = options
    this.weights = { dino: dinoLossWeight, ibot: ibotLossWeight }
    this.dino = new DINOv1Loss({ temperatureStudent, centerMomentum })
    this.ibot = new IBOTPatchLoss({ studentTemp: options.studentTemp ?? 0.1 })
  }

  forward(student: Tensor, teacher: Tensor, studentPatches?: Tensor, teacherPatches?: Tensor): Tensor {
    const cls = this.dino.forward(student, teacher).mul(this.weights.dino)
    if (!studentPatches || !teacherPatches) return cls
    return cls.add(this.ibot.forward(studentPatches, teacherPatches).mul(this.weights.ibot))
  }
}

/**
 * KoLeo (Sablayrolles et al. 2019, arXiv:1806.03198): −mean ln of the distance of each row of [samples, dim] to its nearest
 * neighbour, rows made unit length. Needs two rows; `eps` is the least squared distance.
 */
export class KoLeoLoss extends Module {
  readonly eps: number

  constructor({ eps = 1e-8 } = {}) {
    super()
    this.eps = eps
  }

  forward(z: Tensor): Tensor {
    return koLeoLoss(z, { eps: this.eps })
  }
}

/** As {@link KoLeoLoss}. */
export function koLeoLoss(z: Tensor, { eps = 1e-8 } = {}): Tensor {
  const [count] = matrixSizes('KoLeoLoss', z, { atLeast: 2 })
  const rows = z.normalize(2, -1)
  const cosines = rows.matmul(rows.t())
  const others = cosines.sub(diagonalOf(count, 4)) // cosines never exceed 1: the row itself cannot win
  const nearest = others.amax(1)
  return nearest.mul(-2).add(2).clamp(eps, null).sqrt().log().mean().neg()
}

/** The loss of MSN (Assran et al. 2022, arXiv:2204.07141): cross-entropy to Sinkhorn targets plus w · Σ p̄ ln p̄. */
export function msnLoss(
  student: Tensor,
  teacher: Tensor,
  { temperatureStudent = 0.1, temperatureTeacher = 0.025, meMaxWeight = 1 } = {},
): { loss: Tensor; crossEntropy: Tensor; meMax: Tensor } {
  const target = sinkhornKnopp(teacher, { temperature: temperatureTeacher })
  const crossEntropy = softCrossEntropy(target, student, temperatureStudent).mean()
  const mean = student.div(temperatureStudent).softmax(-1).mean(0) // [prototypes]
  const meMax = mean.mul(mean.add(1e-8).log()).sum()
  return { loss: crossEntropy.add(meMax.mul(meMaxWeight)), crossEntropy, meMax }
}

/** The prior π of PMSN over `count` prototypes: k^−τ, or uniform; sums to 1. */
export function prototypePrior(kind: 'power_law' | 'uniform', count: number, tau: number): Float64Array {
  const weights = Float64Array.from({ length: count }, (_, k) => (kind === 'uniform' ? 1 : (k + 1) ** -tau))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

/** KL(p̄ ‖ π) of the mean student assignment (Assran et al. 2023, arXiv:2210.07277, PMSN). Logits [samples, prototypes]. */
export function priorDivergence(logits: Tensor, prior: Float64Array, temperature = 0.1): Tensor {
  const mean = logits.div(temperature).softmax(-1).mean(0)
  const target = tensor(prior, { dtype: logits.dtype })
  return mean.mul(mean.add(1e-8).log().sub(target.log())).sum()
}

function diagonalOf(count: number, value: number): Tensor {
  const matrix = new Float32Array(count * count)
  for (let index = 0; index < count; index += 1) matrix[index * (count + 1)] = value
  return tensor(matrix, { shape: [count, count] })
}

function meanOf(terms: Tensor[], whenEmpty: string): Tensor {
  const [first, ...rest] = terms
  if (!first) throw new SptError('ERR_ARGUMENT', whenEmpty)
  return rest.reduce((sum, term) => sum.add(term), first).div(terms.length)
}
