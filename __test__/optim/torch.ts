/** What torch's optimizers and schedulers did, read from the fixtures that `__test__/fixtures/optim/make.py` wrote. */
import { readFileSync } from 'node:fs'
import { camelCase } from '../../src/config/names.js'
import { noGrad, tensor, type Tensor } from '../../src/tensor/index.js'
import type { OptimizerStateDict } from '../../src/optim/index.js'

type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain }

export interface OptimizerCase {
  optimizer: string
  options: Record<string, unknown>
  /** Options of the second group. */
  own: Record<string, number>
  start: number[][]
  /** By step and parameter; null where it had none. */
  gradients: Array<Array<number[] | null>>
  after: number[][][]
  state_after_3: { [key: string]: Plain }
}

export interface SchedulerCase {
  scheduler: string
  options: { schedulers?: Array<[string, Record<string, unknown>]> } & Record<string, unknown>
  lr: number[][]
  momentum: number[][]
}

const read = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/optim/${file}`, import.meta.url), 'utf8'))

export const optimizerCases = read('optimizers.json') as OptimizerCase[]
export const schedulerCases = read('schedulers.json') as SchedulerCase[]

export const shapes = [[2, 3], [3], [2]]

/** Options as this package names them. */
export const camel = (options: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value]))

export const parametersOf = (values: number[][]): Tensor[] =>
  values.map((value, index) => tensor(value, { shape: shapes[index] as number[], requiresGrad: true }).keep())

/** Sets the gradients of one step and takes it. */
export function stepWith(optimizer: { step(): void }, params: Tensor[], gradients: Array<number[] | null>): void {
  params.forEach((param, index) => {
    const gradient = gradients[index]
    param.setGrad(gradient ? tensor(gradient, { shape: shapes[index] as number[] }) : null)
  })
  noGrad(() => optimizer.step())
}

export const valuesOf = (tensors: Tensor[]): Promise<number[][]> =>
  Promise.all(tensors.map(async (value) => Array.from((await value.data()) as Float32Array)))

/** A state dict of torch with its tensors. */
export function stateDictOf(plain: OptimizerCase['state_after_3']): OptimizerStateDict {
  const revive = (value: Plain): unknown => {
    if (Array.isArray(value)) return value.map(revive)
    if (value === null || typeof value !== 'object') return value
    if ('tensor' in value) return tensor(value['tensor'] as number[], { shape: value['shape'] as number[] }).keep()
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]))
  }
  return revive(plain) as OptimizerStateDict
}
