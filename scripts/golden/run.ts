/** Runs cases: calls the operation, forms the vector-Jacobian products, compares. What to call stands in the tables. */
import { type DeviceName, getDefaultDevice, scope, setDefaultDevice, Tensor, tensor } from '../../src/tensor/index.js'
import { type Case, type CaseEntry, readCase } from './cases.js'
import { compare, type Comparison } from './compare.js'
import { losses } from './losses.js'
import { metrics } from './metrics.js'
import { models } from './models.js'
import { ops } from './ops.js'
import { optim } from './optim.js'
import { schedulers } from './schedulers.js'
import { Missing } from './table.js'
import { train } from './train.js'
import { trainMasked } from './train-masked.js'
import { transforms } from './transforms.js'

export interface CaseResult {
  name: string
  op: string
  status: 'passed' | 'failed' | 'skipped'
  /** The largest error against its tolerance, or why the case failed or was skipped. */
  detail: string
  /** What float32 gave where only float64 met the tolerance of a gradient. */
  float32?: string
}

const groups = { ops, losses, metrics, models, optim, schedulers, train: { ...train, ...trainMasked }, transforms }

/** Images are decoded and augmented on the CPU, whatever device the batch goes to; schedules are plain numbers. */
export const hostGroups: readonly string[] = ['schedulers', 'transforms']

export async function* runCases(
  directory: string,
  entries: CaseEntry[],
  device: DeviceName = 'cpu',
): AsyncGenerator<CaseResult> {
  for (const entry of entries) yield await scope(() => runCase(readCase(directory, entry), device))
}

/**
 * Runs one case in float32 on a device. Where outputs, stages and buffers of a network in training agree and only gradients do not, it
 * runs again in float64: a ReLU whose input lies nearer to 0 than the rounding it carries is on the other side of its kink
 * in one float32 implementation or another, which moves single gradients by percents. Float64 tells that from a wrong
 * gradient; the result then says what float32 gave. A GPU has no float64: there the case is run in float64 on the CPU, and no
 * gradient of the GPU may be, as a whole, further from the reference than {@link KINKS} or what the CPU's float32 is.
 */
export async function runCase(given: Case, device: DeviceName = 'cpu'): Promise<CaseResult> {
  const place = hostGroups.includes(given.group) ? 'cpu' : device
  const { worstOutput, worstGradient, ...result } = await scope(() => attempt(given, 'float32', place))
  const training = given.group === 'models' && given.attrs.mode === 'train'
  if (!training || result.status !== 'failed' || worstOutput > 1) return result
  if (place !== 'cpu' && worstGradient > KINKS) {
    const here = await scope(() => attempt(given, 'float32', 'cpu'))
    if (worstGradient > 1.25 * here.worstGradient) return result
  }
  const { status, detail } = await scope(() => attempt(given, 'float64', 'cpu'))
  return status === 'passed' ? { ...result, status, detail, float32: result.detail } : result
}

/** The 2-norm of a gradient's errors over its own, where single elements crossed a kink. */
const KINKS = 0.01

type Judged = CaseResult & { worstOutput: number; worstGradient: number }

/** Runs a case with its inputs on a device, floats in the type given. What it makes lies there, too. */
async function attempt(given: Case, dtype: 'float32' | 'float64', device: DeviceName): Promise<Judged> {
  const { name, op } = given
  const none = { worstOutput: Infinity, worstGradient: Infinity }
  const handler = groups[given.group as keyof typeof groups]?.[op]
  if (!handler) return { name, op, status: 'skipped', detail: 'there is no such operation yet', ...none }
  const before = getDefaultDevice() as DeviceName
  try {
    setDefaultDevice(device)
    const inputs = given.inputs.map((input) => {
      const stored = tensorOf(given, input).detach().to(device)
      const value = stored.dtype === 'float32' ? stored.to(dtype) : stored
      if (given.grads.includes(`grad.${input}`)) value.requiresGrad = true
      return value
    })
    const named = Object.fromEntries(given.inputs.map((input, index) => [input, inputs[index] as Tensor]))
    const cotangents = new Map(
      given.outputs.flatMap((output): Array<[string, Tensor]> => {
        const cotangent = given.tensors.get(`cot.${output}`)
        return cotangent ? [[output, cotangent.to(device)]] : []
      }),
    )
    const call = { ...given, inputs, named, outputNames: given.outputs, expected: given.tensors, cotangents }
    const produced = await handler(call)
    const results = { ...nameOutputs(produced, given.outputs), ...gradients(given, produced, named, cotangents) }
    return { name, op, ...(await judge(given, results)) }
  } catch (error) {
    if (error instanceof Missing) return { name, op, status: 'skipped', detail: error.message, ...none }
    const text =
      error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 4).join(' | ') : String(error)
    return { name, op, status: 'failed', detail: text, ...none }
  } finally {
    setDefaultDevice(before)
  }
}

const host = { device: 'cpu' } as const

type Values = Record<string, Tensor | Float64Array | number>

function nameOutputs(produced: unknown, names: string[]): Values {
  if (produced instanceof Tensor || typeof produced === 'number') return { [names[0] ?? 'out']: produced }
  if (Array.isArray(produced)) return Object.fromEntries(produced.map((value, index) => [names[index] ?? '', value]))
  return produced as Values
}

/** d(Σ outputs · cotangents)/d(input), for each input that has a reference. */
function gradients(
  given: Case,
  produced: unknown,
  named: Record<string, Tensor>,
  cotangents: ReadonlyMap<string, Tensor>,
): Values {
  const outputs = nameOutputs(produced, given.outputs)
  const wanted = given.grads.filter((grad) => !(grad in outputs))
  if (wanted.length === 0) return {}
  const terms = given.outputs.flatMap((output) => {
    const cotangent = cotangents.get(output)
    const value = outputs[output]
    return cotangent && value instanceof Tensor ? [value.mul(cotangent).sum()] : []
  })
  const [first, ...rest] = terms
  if (!first) throw new Error('the case has gradients but no cotangent')
  rest.reduce((sum, term) => sum.add(term), first).backward()
  return Object.fromEntries(
    wanted.map((grad) => {
      const input = named[grad.slice('grad.'.length)]
      if (!input) throw new Error(`${grad} is a gradient of no input`)
      return [grad, input.grad ?? input.zerosLike()]
    }),
  )
}

/**
 * The verdict, the largest error against its tolerance among the outputs that are no gradients, and how far, as a whole, a
 * gradient is from its reference at most.
 */
async function judge(given: Case, results: Values): Promise<Omit<Judged, 'name' | 'op'>> {
  let worst: (Comparison & { tensor: string }) | undefined
  let [worstOutput, worstGradient] = [0, 0]
  for (const tensorName of [...given.outputs, ...given.grads]) {
    const value = results[tensorName]
    if (value === undefined)
      return {
        status: 'failed',
        detail: `${tensorName} was not computed`,
        worstOutput: Infinity,
        worstGradient: Infinity,
      }
    const actual =
      value instanceof Tensor ? value : tensor(value instanceof Float64Array ? value : Float64Array.of(value), host)
    const comparison = await compare(actual, tensorOf(given, tensorName), {
      atol: given.atols[tensorName] ?? given.atol,
      rtol: given.rtols[tensorName] ?? given.rtol,
      levels: Number(given.attrs.levels ?? 0),
      flat: !(value instanceof Tensor),
    })
    if (tensorName.startsWith('grad')) worstGradient = Math.max(worstGradient, comparison.apart)
    else worstOutput = Math.max(worstOutput, comparison.ratio)
    if (!worst || comparison.ratio > worst.ratio) worst = { ...comparison, tensor: tensorName }
  }
  if (!worst) return { status: 'failed', detail: 'the case has no outputs', worstOutput, worstGradient }
  const status = worst.ratio <= 1 ? 'passed' : 'failed'
  return { status, detail: `${worst.tensor}: ${worst.text}`, worstOutput, worstGradient }
}

function tensorOf(given: Case, name: string): Tensor {
  const found = given.tensors.get(name)
  if (!found) throw new Error(`the file has no tensor "${name}"`)
  return found
}
