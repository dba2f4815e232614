/**
 * The scalars of one stage: kept on the device, read together once a log interval, turned into the values of a step and
 * the means of an epoch. It does not decide when that happens and writes nowhere.
 */
import { diverged } from '../errors.js'
import { noGrad, stack, type Tensor } from '../tensor/index.js'

export interface LogOptions {
  /** Write the newest value every log interval (as `<name>_step` where `onEpoch` holds too). */
  onStep?: boolean
  /** Write the mean over the epoch (as `<name>_epoch` where `onStep` holds too). */
  onEpoch?: boolean
  /** Weight of this value in the epoch's mean: the number of images of its batch. */
  weight?: number
  /** A value that is not finite ends the run with ERR_NONFINITE. */
  guard?: boolean
}

interface Entry extends Required<LogOptions> {
  name: string
  value: number | Tensor
  step: number
}

export class Logbook {
  /** Newest value of every name, with and without `_step` / `_epoch`; shared by the stages of a run. */
  readonly latest: Map<string, number>
  #pending: Entry[] = []
  #row = new Map<string, number>()
  #sums = new Map<string, { total: number; weight: number; alone: boolean }>()

  constructor(latest: Map<string, number>) {
    this.latest = latest
  }

  /** `value`: a number or a tensor of one element; a tensor is read at the next {@link read}, not now. */
  add(name: string, value: number | Tensor, step: number, options: LogOptions): void {
    const { onStep = false, onEpoch = true, weight = 1, guard = false } = options
    const held = typeof value === 'number' ? value : scalarOf(value)
    this.#pending.push({ name, value: held, step, onStep, onEpoch, weight, guard })
  }

  /** Reads everything that waits on the device: one copy for all of it. */
  async read(): Promise<void> {
    const entries = this.#pending
    this.#pending = []
    const tensors = entries.map((entry) => entry.value).filter((value) => typeof value !== 'number')
    const values = tensors.length === 0 ? [] : await readScalars(tensors)
    let next = 0
    for (const { name, value, step, onStep, onEpoch, weight, guard } of entries) {
      const number = typeof value === 'number' ? value : (values[next++] as number)
      if (guard && !Number.isFinite(number)) throw diverged(name, number, step)
      this.latest.set(name, number)
      if (onStep) {
        this.latest.set(onEpoch ? `${name}_step` : name, number)
        this.#row.set(onEpoch ? `${name}_step` : name, number)
      }
      if (onEpoch) {
        const sum = this.#sums.get(name) ?? { total: 0, weight: 0, alone: !onStep }
        this.#sums.set(name, { total: sum.total + number * weight, weight: sum.weight + weight, alone: sum.alone })
      }
    }
  }

  /** The step values read since the last call, the newest of each name. */
  takeStep(): Record<string, number> {
    const row = Object.fromEntries(this.#row)
    this.#row.clear()
    return row
  }

  /** The means over all values read since the last call. */
  takeEpoch(): Record<string, number> {
    const row: Record<string, number> = {}
    for (const [name, { total, weight, alone }] of this.#sums) {
      const mean = total / weight
      row[alone ? name : `${name}_epoch`] = mean
      this.latest.set(name, mean)
      if (!alone) this.latest.set(`${name}_epoch`, mean)
    }
    this.#sums.clear()
    return row
  }

  /** Forgets what was collected: an epoch that was broken off. */
  clear(): void {
    for (const { value } of this.#pending) if (typeof value !== 'number') value.dispose()
    this.#pending = []
    this.#row.clear()
    this.#sums.clear()
  }

  /** Call {@link read} first. */
  state(): { sums: Record<string, { total: number; weight: number; alone: boolean }>; row: Record<string, number> } {
    return { sums: Object.fromEntries(this.#sums), row: Object.fromEntries(this.#row) }
  }

  loadState({ sums, row }: ReturnType<Logbook['state']>): void {
    this.clear()
    this.#sums = new Map(Object.entries(sums))
    this.#row = new Map(Object.entries(row))
  }
}

/** A copy of no axes that outlives the step; GPUs have no float64. */
function scalarOf(value: Tensor): Tensor {
  const dtype = value.device === 'cpu' ? 'float64' : 'float32'
  // A tensor of that type already is not copied by `to`, and may be written to before it is read.
  return noGrad(() => {
    const scalar = value.detach().reshape([])
    return (scalar.dtype === dtype ? scalar.clone() : scalar.to(dtype)).keep()
  })
}

/** The values in their order, by one copy for each device that some of them lie on. */
async function readScalars(tensors: Tensor[]): Promise<number[]> {
  const values = new Map<Tensor, number>()
  for (const device of new Set(tensors.map((tensor) => tensor.device))) {
    const own = tensors.filter((tensor) => tensor.device === device)
    const joined = noGrad(() => stack(own, 0)) // [scalars]
    const found = await joined.data()
    for (const [index, tensor] of own.entries()) values.set(tensor, Number(found[index]))
    joined.dispose()
  }
  for (const tensor of tensors) tensor.dispose()
  return tensors.map((tensor) => values.get(tensor) as number)
}
