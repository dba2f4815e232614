/**
 * A network and its teacher, whose weights are a moving average of the network's. Whoever owns it says when it moves:
 * a method after each optimizer step, or the callback for modules that are given to a trainer as they are.
 */
import { argumentInvalid } from '../errors.js'
import { Module, Shadow } from '../nn/index.js'
import { emaCoefficientAt } from '../optim/index.js'
import { emaUpdate, full, noGrad, type Tensor } from '../tensor/index.js'
import type { BatchEvent, Callback, StepProgress } from './callback.js'
import type { Trainer } from './trainer.js'

export interface TeacherStudentOptions {
  /** Accepted and without effect: the teacher begins as a copy of the student anyway. */
  warmInit?: boolean
  /** Share of the teacher that is kept at an update in the first epoch; 0 to 1. */
  baseEmaCoefficient?: number
  /** The same in the last epoch; 0 to 1. */
  finalEmaCoefficient?: number
}

/**
 * Student and teacher in one (Grill et al. 2020, BYOL, arXiv:2006.07733). State dict: `student.*`, `teacher.*` and three
 * buffers with the coefficients. With both coefficients 0 the teacher is the student.
 *
 * @throws ERR_ARGUMENT when a coefficient is not between 0 and 1.
 */
export class TeacherStudentWrapper<Output = Tensor> extends Module<Output> {
  readonly student: Module<Output>
  readonly teacher: Module<Output>
  readonly baseEmaCoefficient: Tensor
  readonly finalEmaCoefficient: Tensor
  /** The coefficient in effect; float32 of no axes, on the CPU: updating the teacher waits for no GPU. */
  readonly emaCoefficient: Tensor

  constructor(student: Module<Output>, options: TeacherStudentOptions = {}) {
    super()
    const { baseEmaCoefficient: base = 0.996, finalEmaCoefficient: final = 1 } = options
    for (const [name, value] of Object.entries({ baseEmaCoefficient: base, finalEmaCoefficient: final })) {
      if (!(value >= 0 && value <= 1)) throw argumentInvalid(`TeacherStudentWrapper: ${name}`, '0 to 1', value)
    }
    this.student = student
    this.teacher = base === 0 && final === 0 ? student : (new Shadow(student) as Module<Output>)
    const number = (field: string, value: number) =>
      this.registerBuffer(field, full([], value, { device: 'cpu' }), { host: true })
    this.baseEmaCoefficient = number('baseEmaCoefficient', base)
    this.finalEmaCoefficient = number('finalEmaCoefficient', final)
    this.emaCoefficient = number('emaCoefficient', base)
  }

  /** The teacher, as it is used for evaluation. */
  forward(input: Tensor, ...more: unknown[]): Output {
    return this.forwardTeacher(input, ...more)
  }

  forwardStudent(input: Tensor, ...more: unknown[]): Output {
    return this.student.forward(input, ...more)
  }

  /** Without gradients. */
  forwardTeacher(input: Tensor, ...more: unknown[]): Output {
    return noGrad(() => this.teacher.forward(input, ...more))
  }

  /**
   * teacher ← c·teacher + (1 − c)·student, for parameters and buffers in one native call; buffers of whole numbers, such
   * as counts of batches, become 0, as c is cut to a whole number for them. In evaluation mode, and with c = 0 or 1,
   * nothing happens.
   */
  async updateTeacher(): Promise<void> {
    const coefficient = await this.emaCoefficient.item()
    if (!this.training || coefficient === 0 || coefficient === 1) return
    const all = (module: Module<unknown>) => [...module.parameters(), ...module.buffers()]
    noGrad(() => emaUpdate(all(this.teacher), all(this.student), coefficient))
  }

  /** Moves the coefficient to an epoch's: a half cosine from base to final in `totalEpochs`. */
  async updateEmaCoefficient(epoch: number, totalEpochs: number): Promise<void> {
    const [base, final] = [await this.baseEmaCoefficient.item(), await this.finalEmaCoefficient.item()]
    this.emaCoefficient.fill_(emaCoefficientAt(epoch, { base, final, totalEpochs }))
  }
}

/** Every pair of student and teacher in a tree, with its name; known by what it can do, whatever its class. */
export function* teachersIn(root: Module<unknown>): Generator<[string, TeacherStudentWrapper<unknown>]> {
  for (const [name, module] of root.namedModules()) {
    if ('updateTeacher' in module && 'updateEmaCoefficient' in module && 'teacher' in module) {
      yield [name, module as TeacherStudentWrapper<unknown>]
    }
  }
}

/**
 * What a method with teachers does after an optimizer step: the coefficient of where the run stands, then every teacher.
 * By `epoch` the coefficient moves once an epoch, as in the PyTorch library; by `step` with each one, as in the papers. A
 * run without a number of epochs goes by its steps.
 *
 * @param step optimizer steps done, from 1
 */
export async function updateTeachers(
  pairs: readonly TeacherStudentWrapper<unknown>[],
  step: number,
  { epoch, maxEpochs, totalSteps }: StepProgress,
  interval: 'epoch' | 'step' = 'epoch',
): Promise<void> {
  const [at, end] = interval === 'epoch' && Number.isFinite(maxEpochs) ? [epoch, maxEpochs] : [step - 1, totalSteps]
  for (const pair of pairs) {
    await pair.updateEmaCoefficient(at, end)
    await pair.updateTeacher()
  }
}

/**
 * Moves every teacher in the module after each `updateFrequency` optimizer steps, with the coefficient of the epoch. The
 * trainer adds it to a module with teachers that says nothing itself of what comes after a step.
 */
export class TeacherStudentCallback implements Callback {
  readonly name: string
  readonly #every: number
  #lastStep = 0

  constructor({ name = 'teacher-student', updateFrequency = 1 }: { name?: string; updateFrequency?: number } = {}) {
    if (!(Number.isInteger(updateFrequency) && updateFrequency >= 1))
      throw argumentInvalid('TeacherStudentCallback: updateFrequency', 'an integer of at least 1', updateFrequency)
    this.name = name
    this.#every = updateFrequency
  }

  onFitStart(trainer: Trainer): void {
    this.#lastStep = trainer.globalStep
    if (teachersIn(trainer.module).next().done) trainer.print(`${this.name}: the module has no teacher`)
  }

  async onTrainBatchEnd({ trainer }: BatchEvent): Promise<void> {
    const { globalStep, currentEpoch, options } = trainer
    if (globalStep === this.#lastStep) return
    this.#lastStep = globalStep
    if (globalStep % this.#every !== 0) return
    for (const [name, pair] of teachersIn(trainer.module)) {
      await pair.updateEmaCoefficient(currentEpoch, options.maxEpochs)
      await pair.updateTeacher()
      logCoefficient(trainer, name, pair)
    }
  }
}

/** After a step in which the module moved its teachers itself: the coefficients in effect, under the callback's names. */
export function logTeachers(trainer: Trainer): void {
  if (!trainer.module.hasAfterStep) return
  for (const [name, pair] of teachersIn(trainer.module)) logCoefficient(trainer, name, pair)
}

function logCoefficient(trainer: Trainer, name: string, { emaCoefficient }: TeacherStudentWrapper<unknown>): void {
  const metric = `teacher_student/${name === '' ? 'ema' : name}_coefficient`
  trainer.log(metric, emaCoefficient, { onStep: true, onEpoch: false })
}

/** Gives a trainer the callback above where its module has teachers and nobody who moves them. */
export function moveTeachers({ module, callbacks }: Trainer): void {
  const moved = module.hasAfterStep || callbacks.some((callback) => callback instanceof TeacherStudentCallback)
  if (!moved && !teachersIn(module).next().done) callbacks.push(new TeacherStudentCallback())
}
