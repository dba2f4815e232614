/** What methods with a teacher share: the options of its moving average, and heads of prototypes for both. No method. */
import { z } from 'zod'
import { DINOHead } from '../nn/index.js'
import { TeacherStudentWrapper } from './teacher-student.js'

const share = (value: number) => z.number().min(0).max(1).default(value)

/** The options of a teacher; `of`: what the method calls it. */
export const emaOptions = (start: number, end: number, of = 'teacher') => ({
  emaDecayStart: share(start).describe(`share of the ${of} kept at the first update`),
  emaDecayEnd: share(end).describe(`share of the ${of} kept at the last update`),
  emaInterval: z.enum(['epoch', 'step']).default('epoch').describe('how often that share moves from start to end'),
})

export interface EmaConfig {
  readonly emaDecayStart: number
  readonly emaDecayEnd: number
}

/** A teacher's coefficients from its options. */
export const emaOf = ({ emaDecayStart, emaDecayEnd }: EmaConfig) => ({
  baseEmaCoefficient: emaDecayStart,
  finalEmaCoefficient: emaDecayEnd,
})

/** The options of heads as DINO's, but for the number of prototypes. */
export const headOptions = () => ({
  projectorHiddenDim: z.int().positive().default(2048).describe('width of the hidden layers of a head'),
  projectorBottleneckDim: z.int().positive().default(256).describe('width of the unit vectors before the prototypes'),
})

export const prototypeOptions = () => ({
  freezeLastLayer: z.int().min(0).default(1).describe('epochs in which the prototypes stay as they are'),
  normLastLayer: z.boolean().default(false).describe('prototypes of length 1; steadier, at times less accurate'),
})

/** [rows, dim] to scores of prototypes [rows, prototypes], for student and teacher (see {@link DINOHead}). */
export function headPair(
  dim: number,
  prototypes: number,
  config: EmaConfig & { projectorHiddenDim: number; projectorBottleneckDim: number; normLastLayer?: boolean },
): TeacherStudentWrapper {
  const { projectorHiddenDim: hiddenDim, projectorBottleneckDim: bottleneckDim, normLastLayer = false } = config
  return new TeacherStudentWrapper(
    new DINOHead(dim, { hiddenDim, bottleneckDim, prototypes, normLastLayer }),
    emaOf(config),
  )
}
