/** The schedules of the reference vectors: the learning rate before the first and after each of 120 steps. */
import {
  cosineDecayer,
  createScheduler,
  emaCoefficientAt,
  schedulerClasses,
  SGD,
  teacherTemperatureAt,
  weightDecayAt,
  type Optimizer,
  type Scheduler,
} from '../../src/optim/index.js'
import { zeros, type Tensor } from '../../src/tensor/index.js'
import { camelOptions, type Call, type Handler, Missing, type Table } from './table.js'

function optimizerOf(rates: number[]): Optimizer {
  return new SGD(
    rates.map((lr) => ({ params: [zeros([1])], lr })),
    { momentum: 0.9 },
  )
}

type Described = [string, Record<string, unknown>]

function build(optimizer: Optimizer, { op, attrs }: Call): Scheduler {
  const members = ((attrs.schedulers ?? []) as Described[]).map(([type, options]) =>
    createScheduler(optimizer, { type, ...camelOptions(options) }, { totalSteps: 0, maxEpochs: 0 }),
  )
  if (members.length > 0) {
    const options = { type: op, schedulers: members, ...(attrs.milestones ? { milestones: attrs.milestones } : {}) }
    return createScheduler(optimizer, options, { totalSteps: 0, maxEpochs: 0 })
  }
  const derived = attrs.derived_from as { estimated_stepping_batches: number; max_epochs: number } | undefined
  if (derived) {
    const length = { totalSteps: derived.estimated_stepping_batches, maxEpochs: derived.max_epochs }
    return createScheduler(optimizer, op, length)
  }
  const chosen = schedulerClasses[op]
  if (!chosen) throw new Missing(`there is no scheduler ${op} yet`)
  if (op === 'LambdaLR') return new chosen(optimizer, { lrLambda: lambdaOf(String(attrs.lambda)) } as never)
  return new chosen(optimizer, camelOptions(attrs.kwargs) as never)
}

/** "0.9 ** floor(step / 7)": a base and a number of steps. */
function lambdaOf(text: string): (step: number) => number {
  const found = /^([\d.]+) \*\* floor\(step \/ ([\d.]+)\)$/.exec(text)
  if (!found) throw new Missing(`a lambda "${text}"`)
  return (step) => Number(found[1]) ** Math.floor(step / Number(found[2]))
}

const rates: Handler = async (call) => {
  const { attrs, named, outputNames } = call
  const optimizer = optimizerOf(attrs.base_lrs as number[])
  const scheduler = build(optimizer, call)
  const metric = named.metric ? Array.from((await named.metric.data()) as Float32Array) : undefined
  const lr: number[] = []
  const momentum: number[] = []
  const read = () => {
    lr.push(...optimizer.groups.map((group) => group.lr))
    momentum.push(...optimizer.groups.map((group) => Number((group as unknown as { momentum: number }).momentum)))
  }
  read()
  for (let step = 0; step < Number(attrs.steps); step += 1) {
    scheduler.step(metric?.[step])
    read()
  }
  const results = { lr: Float64Array.from(lr), momentum: Float64Array.from(momentum) }
  return Object.fromEntries(Object.entries(results).filter(([name]) => outputNames.includes(name)))
}

const each = (count: number, value: (index: number) => number) =>
  Float64Array.from({ length: count }, (_, i) => value(i))

/** Sizes of outputs that no attribute states. */
const sizeOf = (call: Call, output: string): number => (call.expected.get(output) as Tensor).numel

const names = Object.keys(schedulerClasses)

export const schedulers: Table = {
  ...Object.fromEntries(names.map((name) => [name, rates])),
  'TeacherStudentWrapper.update_ema_coefficient': (call) => {
    const { base, final, total_epochs: totalEpochs } = call.attrs as Record<string, number>
    const options = { base: base ?? 0, final: final ?? 0, totalEpochs: totalEpochs ?? 0 }
    return { coefficient: each(sizeOf(call, 'coefficient'), (epoch) => emaCoefficientAt(epoch, options)) }
  },
  'DINO._teacher_temperature': (call) => {
    const {
      temperature_teacher_warmup: start,
      temperature_teacher: end,
      warmup_epochs_temperature_teacher: epochs,
    } = call.attrs
    const options = { warmup: Number(start), final: Number(end), warmupEpochs: Number(epochs) }
    return { temperature: each(sizeOf(call, 'temperature'), (epoch) => teacherTemperatureAt(epoch, options as never)) }
  },
  CosineDecayer: (call) => {
    const factor = cosineDecayer(Number(call.attrs.total_steps), Number(call.attrs.n_cycles))
    return { factor: each(sizeOf(call, 'factor'), factor) }
  },
  WeightDecayUpdater: (call) => {
    const { schedule_type: schedule, start_value: start, end_value: end, total_steps: totalSteps } = call.attrs
    const options = { schedule, start: Number(start), end: Number(end), totalSteps: Number(totalSteps) }
    return { weight_decay: each(sizeOf(call, 'weight_decay'), (step) => weightDecayAt(step, options as never)) }
  },
}
