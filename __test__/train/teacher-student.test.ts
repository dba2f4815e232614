/** Each sentence of student and teacher: coefficients, updates, what is saved, and who moves them. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { AdamW, emaCoefficientAt } from '../../src/optim/index.js'
import { manualSeed, noGrad, ones, randn, type Tensor } from '../../src/tensor/index.js'
import { Module } from '../../src/train/module.js'
import { viewsOf } from '../../src/train/views.js'
import {
  TeacherStudentCallback,
  TeacherStudentWrapper,
  type TeacherStudentOptions,
} from '../../src/train/teacher-student.js'
import { Trainer } from '../../src/train/trainer.js'
import { flowers, smallBackbone } from './setup.js'

const values = async (tensor: Tensor | undefined): Promise<number[]> =>
  Array.from((await tensor!.data()) as Float32Array, Number)

const network = () => new nn.Sequential(new nn.Linear(2, 2), new nn.BatchNorm1d(2))

const pairOf = (options: TeacherStudentOptions = {}, student: nn.Layer = network()) =>
  new TeacherStudentWrapper(student, options)

describe('a pair', () => {
  test('saves student, teacher and coefficients under the names of stable-pretraining', () => {
    const names = [
      '0.weight',
      '0.bias',
      '1.weight',
      '1.bias',
      '1.running_mean',
      '1.running_var',
      '1.num_batches_tracked',
    ]
    expect([...pairOf().stateDict().keys()]).toEqual([
      'base_ema_coefficient',
      'final_ema_coefficient',
      'ema_coefficient',
      ...names.map((name) => `student.${name}`),
      ...names.map((name) => `teacher.${name}`),
    ])
  })

  test('begins with a copy, which takes no gradient and stays when the student changes', async () => {
    const pair = pairOf()
    const before = await values(pair.stateDict().get('student.0.weight'))
    expect(await values(pair.stateDict().get('teacher.0.weight'))).toEqual(before)
    expect(pair.teacher.parameters().some(({ requiresGrad }) => requiresGrad)).toBe(false)
    noGrad(() => pair.student.parameters()[0]!.fill_(7))
    expect(await values(pair.stateDict().get('teacher.0.weight'))).toEqual(before)
  })

  test('runs each on its own weights; the teacher without gradients, and by default', async () => {
    const pair = pairOf({}, new nn.Linear(2, 1, { bias: false }))
    noGrad(() => pair.student.parameters()[0]!.fill_(3))
    noGrad(() => pair.teacher.parameters()[0]!.fill_(5))
    const input = ones([1, 2])
    expect(await values(pair.forwardStudent(input))).toEqual([6])
    expect(await values(pair.forwardTeacher(input))).toEqual([10])
    expect(await values(pair.forward(input))).toEqual([10])
    expect(pair.forwardStudent(input).requiresGrad).toBe(true)
    expect(pair.forwardTeacher(input).requiresGrad).toBe(false)
    // The student's own weights are back.
    expect(await values(pair.student.parameters()[0])).toEqual([3, 3])
  })

  test('has running statistics of its own, and a mode of its own', async () => {
    const pair = pairOf()
    const input = randn([8, 2])
    pair.forwardTeacher(input)
    expect(await values(pair.stateDict().get('student.1.num_batches_tracked'))).toEqual([0])
    expect(await values(pair.stateDict().get('teacher.1.num_batches_tracked'))).toEqual([1])
    pair.teacher.eval()
    pair.forwardTeacher(input)
    expect(await values(pair.stateDict().get('teacher.1.num_batches_tracked'))).toEqual([1])
    expect(pair.student.modules().every(({ training }) => training)).toBe(true)
  })

  test('hooks of the student do not see the teacher', () => {
    const pair = pairOf()
    let seen = 0
    pair.student.registerForwardHook(() => void seen++)
    pair.forwardTeacher(randn([4, 2]))
    expect(seen).toBe(0)
    pair.forwardStudent(randn([4, 2]))
    expect(seen).toBe(1)
  })

  test('the student’s weights come back when a forward fails', async () => {
    const pair = pairOf({}, new nn.Linear(2, 1))
    noGrad(() => pair.student.parameters()[0]!.fill_(3))
    expect(() => pair.forwardTeacher(ones([1, 5]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(await values(pair.student.parameters()[0])).toEqual([3, 3])
  })

  test('takes networks with private members, and weights that are tied', async () => {
    class Tied extends nn.Module {
      readonly #scale = 2
      readonly first = new nn.Linear(2, 2, { bias: false })
      readonly second = new nn.Linear(2, 2, { bias: false })
      constructor() {
        super()
        ;(this.second as { weight: Tensor }).weight = this.first.weight
      }
      forward(input: Tensor): Tensor {
        return this.second.forward(this.first.forward(input)).mul(this.#scale)
      }
    }
    const pair = pairOf({}, new Tied())
    noGrad(() => pair.teacher.parameters()[0]!.fill_(1))
    expect(pair.teacher.parameters()).toHaveLength(1)
    expect(await values(pair.forwardTeacher(ones([1, 2])))).toEqual([8, 8])
  })

  test('with both coefficients 0 the teacher is the student', () => {
    const pair = pairOf({ baseEmaCoefficient: 0, finalEmaCoefficient: 0 })
    expect(pair.teacher).toBe(pair.student)
    expect(pairOf({ baseEmaCoefficient: 0, finalEmaCoefficient: 0.5 }).teacher).not.toBe(pair.student)
  })

  test('coefficients outside 0 to 1 are refused', () => {
    for (const wrong of [{ baseEmaCoefficient: -0.1 }, { finalEmaCoefficient: 1.1 }, { baseEmaCoefficient: NaN }]) {
      expect(() => pairOf(wrong)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    }
  })

  test('comes back from its state dict, coefficient included', async () => {
    const [one, other] = [pairOf({ baseEmaCoefficient: 0.5 }), pairOf({ baseEmaCoefficient: 0.5 })]
    await one.updateEmaCoefficient(1, 2)
    noGrad(() => one.teacher.parameters()[0]!.fill_(4))
    other.loadStateDict(one.stateDict())
    expect(await other.emaCoefficient.item()).toBeCloseTo(0.75, 6)
    expect(await values(other.teacher.parameters()[0])).toEqual([4, 4, 4, 4])
  })
})

describe('an update', () => {
  const updated = async (coefficient: number, evaluation = false): Promise<[number[], number[], number[]]> => {
    const pair = pairOf({ baseEmaCoefficient: coefficient, finalEmaCoefficient: 0.5 })
    noGrad(() => {
      for (const tensor of [...pair.student.parameters(), ...pair.student.buffers()]) tensor.fill_(5)
      for (const tensor of [...pair.teacher.parameters(), ...pair.teacher.buffers()]) tensor.fill_(1)
    })
    if (evaluation) pair.eval()
    await pair.updateTeacher()
    const of = (name: string) => values(pair.stateDict().get(`teacher.1.${name}`))
    return [await of('weight'), await of('running_mean'), await of('num_batches_tracked')]
  }

  test('is c·teacher + (1 − c)·student, of parameters and buffers; counts become 0', async () => {
    expect(await updated(0.75)).toEqual([[2, 2], [2, 2], [0]])
  })

  test('does nothing in evaluation mode, and with a coefficient of 0 or 1', async () => {
    const untouched = [[1, 1], [1, 1], [1]]
    expect(await updated(0.75, true)).toEqual(untouched)
    expect(await updated(0)).toEqual(untouched)
    expect(await updated(1)).toEqual(untouched)
  })

  test('has the coefficient of its epoch', async () => {
    const pair = pairOf({ baseEmaCoefficient: 0.9, finalEmaCoefficient: 0.99 })
    for (const epoch of [0, 1, 4]) {
      await pair.updateEmaCoefficient(epoch, 4)
      const expected = emaCoefficientAt(epoch, { base: 0.9, final: 0.99, totalEpochs: 4 })
      expect(await pair.emaCoefficient.item()).toBeCloseTo(expected, 6)
    }
  })
})

describe('in a run', () => {
  const byol = (afterStep?: () => void) => {
    manualSeed(0)
    return new Module({
      forward(batch) {
        const images = viewsOf(batch).map(({ image }) => image) as [Tensor, Tensor]
        const target = this.backbone.forwardTeacher(images[0])
        return {
          loss: this.backbone
            .forwardStudent(images[1] ?? images[0])
            .sub(target)
            .square()
            .mean()
            .add(1),
        }
      },
      ...(afterStep && { afterStep }),
      backbone: new TeacherStudentWrapper(smallBackbone(), { baseEmaCoefficient: 0.5, finalEmaCoefficient: 0.5 }),
      optim: { optimizer: { type: 'SGD', lr: 0.5 }, scheduler: null },
    })
  }
  const distance = async (module: ReturnType<typeof byol>): Promise<number> => {
    const { teacher } = module.backbone
    const start = await startWeight
    const now = await values(teacher.parameters()[0])
    return Math.max(...now.map((value, at) => Math.abs(value - (start[at] ?? NaN))))
  }
  const startWeight = values(byol().backbone.teacher.parameters()[0])
  const options = { maxEpochs: 1, numSanityValSteps: 0, limitValBatches: 0, logEveryNSteps: 1 }

  test('a module with a teacher and nobody who moves it gets the callback', async () => {
    const module = byol()
    const trainer = new Trainer(options)
    await trainer.fit(module, await flowers())
    expect(trainer.callbacks.map(({ name }) => name)).toEqual(['teacher-student'])
    expect(trainer.latest.get('teacher_student/backbone_coefficient')).toBeCloseTo(0.5, 6)
    expect(await distance(module)).toBeGreaterThan(0)
  })

  test('one that says what comes after a step moves its teacher itself, or not', async () => {
    const module = byol(() => undefined)
    const trainer = new Trainer(options)
    await trainer.fit(module, await flowers())
    expect(trainer.callbacks).toEqual([])
    expect(trainer.latest.get('teacher_student/backbone_coefficient')).toBeCloseTo(0.5, 6)
    expect(await distance(module)).toBe(0)
  })

  test('only after steps, and every so many of them', async () => {
    const module = byol()
    const callback = new TeacherStudentCallback({ updateFrequency: 3 })
    const moves: number[] = []
    const { backbone } = module
    const trainer = new Trainer({ ...options, accumulateGradBatches: 2, maxEpochs: 3, callbacks: [callback] })
    const move = backbone.updateTeacher.bind(backbone)
    backbone.updateTeacher = async () => {
      moves.push(trainer.globalStep)
      await move()
    }
    await trainer.fit(module, await flowers())
    expect(trainer.globalStep).toBe(6)
    expect(moves).toEqual([3, 6])
  })

  test('no optimizer moves the teacher', async () => {
    const module = byol(() => undefined)
    const frozen = new AdamW(module.parameters(), { lr: 1 })
    frozen.step()
    expect(await distance(module)).toBe(0)
  })

  test('a frequency that is none is refused', () => {
    expect(() => new TeacherStudentCallback({ updateFrequency: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })
})
