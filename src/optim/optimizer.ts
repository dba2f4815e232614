/** The base of all optimizers: parameter groups, per-parameter state, saving and loading. It knows no update rule. */
import { SptError } from '../errors.js'
import { haveGradients, type Tensor, zerosLike } from '../tensor/index.js'

/** Parameters that share options. Options left out take the optimizer's defaults. */
export interface ParamGroup {
  params: Tensor[]
  /** Names of the parameters, for messages only. */
  names?: string[]
  lr: number
  /** The rate that schedules refer to; set by the first scheduler. */
  initialLr?: number
  [option: string]: unknown
}

export type ParamGroupInput = Partial<ParamGroup> & { params: Iterable<Tensor> }

/** What an optimizer remembers about one parameter: tensors of its shape, and numbers such as the step count. */
export interface ParameterState {
  tensors: Record<string, Tensor>
  numbers: Record<string, number>
}

/** The parameters of one group that have a gradient, with their states, handed to an update rule. */
export interface ActiveGroup<Options> {
  options: ParamGroup & Options
  params: Tensor[]
  states: ParameterState[]
  /** How often each parameter was updated, this time included. */
  steps: number[]
}

/** A plain tree of JSON values and tensors, for checkpoints. */
export type OptimizerState = {
  groups: Array<Record<string, unknown>>
  parameters: Array<{ tensors: Record<string, Tensor>; numbers: Record<string, number> }>
}

/**
 * Changes parameters by their gradients. A parameter without a gradient is left alone and its step count stands still.
 *
 * @throws ERR_ARGUMENT on an empty parameter list, a parameter that occurs twice, or options out of range.
 */
export abstract class Optimizer<Options extends object = object> {
  readonly groups: Array<ParamGroup & Options> = []
  readonly defaults: Options & { lr: number }
  private readonly states = new Map<Tensor, ParameterState>()

  protected constructor(params: Iterable<Tensor> | ParamGroupInput[], defaults: Options & { lr: number }) {
    this.defaults = defaults
    const inputs = [...params]
    if (inputs.length === 0) throw new SptError('ERR_ARGUMENT', 'an optimizer needs parameters, got none')
    if (inputs.every(isGroup)) for (const input of inputs) this.addParamGroup(input)
    else this.addParamGroup({ params: inputs as Tensor[] })
  }

  /** Names of the tensors a parameter of this group needs, all of them zero at the start unless `fresh` says otherwise. */
  protected abstract stateNames(options: Options): string[]

  /** Applies the rule to all parameters of one group. */
  protected abstract update(group: ActiveGroup<Options>): void

  /** Called once for a parameter's new state, to set start values other than zero. */
  protected fresh?(state: ParameterState, param: Tensor, options: ParamGroup & Options): void

  addParamGroup(input: ParamGroupInput): void {
    const params = [...input.params]
    const group = { ...this.defaults, ...input, params } as ParamGroup & Options
    const known = new Set(this.groups.flatMap((other) => other.params))
    params.forEach((param, index) => {
      if (known.has(param)) {
        const name = group.names?.[index] ?? `[${param.shape.join(', ')}]`
        throw new SptError('ERR_ARGUMENT', `parameter ${name} is in the optimizer twice; give each parameter once`)
      }
      known.add(param)
    })
    if (!(group.lr >= 0)) throw outOfRange('lr', group.lr)
    this.groups.push(group)
  }

  step(): void {
    for (const group of this.groups) {
      const mask = haveGradients(group.params)
      const params = group.params.filter((_, index) => mask[index])
      if (params.length === 0) continue
      const states = params.map((param) => this.stateOf(param, group))
      const steps = states.map((state) => (state.numbers.step = (state.numbers.step ?? 0) + 1))
      this.update({ options: group, params, states, steps })
    }
  }

  /** Drops all gradients. */
  zeroGrad(): void {
    for (const group of this.groups) for (const param of group.params) param.setGrad(null)
  }

  /** Everything a bit-exact continuation needs; the tensors are the live ones, not copies. */
  state(): OptimizerState {
    const groups = this.groups.map(({ params, names, ...options }) => ({ ...options, count: params.length }))
    const parameters = this.groups
      .flatMap((group) => group.params)
      .map((param) => this.states.get(param) ?? { tensors: {}, numbers: {} })
    return { groups, parameters }
  }

  /** @throws ERR_CHECKPOINT when groups, counts or shapes differ from this optimizer's. */
  loadState(saved: OptimizerState): void {
    const counts = this.groups.map((group) => group.params.length)
    const savedCounts = saved.groups.map((group) => group.count)
    if (counts.join() !== savedCounts.join()) {
      throw new SptError(
        'ERR_CHECKPOINT',
        `optimizer state has groups of ${savedCounts.join(', ')} parameters, this optimizer has ${counts.join(', ')}`,
        { hint: 'Resume with the model and the optimizer settings that the checkpoint was written with.' },
      )
    }
    this.groups.forEach((group, index) => {
      const { count, ...options } = saved.groups[index] ?? {}
      Object.assign(group, options)
    })
    const params = this.groups.flatMap((group) => group.params)
    params.forEach((param, index) => this.loadParameter(param, saved.parameters[index]))
  }

  private loadParameter(param: Tensor, saved: ParameterState | undefined): void {
    this.disposeState(param)
    if (!saved || Object.keys(saved.numbers).length === 0) return
    const tensors: Record<string, Tensor> = {}
    for (const [name, tensor] of Object.entries(saved.tensors)) {
      if (tensor.shape.join() !== param.shape.join()) {
        throw new SptError(
          'ERR_CHECKPOINT',
          `optimizer state "${name}" has shape [${tensor.shape.join(', ')}], its parameter [${param.shape.join(', ')}]`,
        )
      }
      tensors[name] = tensor.clone().keep()
    }
    this.states.set(param, { tensors, numbers: { ...saved.numbers } })
  }

  private disposeState(param: Tensor): void {
    for (const tensor of Object.values(this.states.get(param)?.tensors ?? {})) tensor.dispose()
    this.states.delete(param)
  }

  private stateOf(param: Tensor, options: ParamGroup & Options): ParameterState {
    const known = this.states.get(param)
    if (known) return known
    const tensors = Object.fromEntries(this.stateNames(options).map((name) => [name, zerosLike(param).keep()]))
    const state = { tensors, numbers: {} }
    this.fresh?.(state, param, options)
    this.states.set(param, state)
    return state
  }
}

/** Collects one named state tensor of every parameter. */
export function pick(states: ParameterState[], name: string): Tensor[] {
  return states.map((state) => {
    const tensor = state.tensors[name]
    if (!tensor) throw new SptError('ERR_INTERNAL', `optimizer state has no tensor "${name}"`)
    return tensor
  })
}

/** @throws ERR_ARGUMENT for the first option outside its range. */
export function checkRanges(options: object, ranges: Record<string, [low: number, high: number]>): void {
  for (const [name, [low, high]] of Object.entries(ranges)) {
    const value = (options as Record<string, unknown>)[name]
    for (const number of [value].flat()) {
      if (typeof number !== 'number' || !(number >= low && number < high)) throw outOfRange(name, value, [low, high])
    }
  }
}

function outOfRange(name: string, value: unknown, [low, high]: [number, number] = [0, Infinity]): SptError {
  const range = high === Infinity ? `${low} or more` : `at least ${low} and below ${high}`
  return new SptError('ERR_ARGUMENT', `${name} is ${JSON.stringify(value)}, expected ${range}`)
}

function isGroup(input: Tensor | ParamGroupInput): input is ParamGroupInput {
  return 'params' in input
}
