/** The base of all optimizers: parameter groups, per-parameter state, saving and loading. It knows no update rule. */
import { camelCase, snakeCase } from '../config/names.js'
import { suggest } from '../config/suggest.js'
import { argumentInvalid, show, SptError } from '../errors.js'
import { clearGradients, type DeviceName, fullLike, haveGradients, Tensor, zerosLike } from '../tensor/index.js'

/** Parameters that share options. Options left out take the optimizer's defaults. */
export interface ParamGroup {
  params: Tensor[]
  /** Names of the parameters, for messages and for rules that go by names. */
  names?: string[]
  lr: number
  /** The rate that schedules refer to; set by the first scheduler. */
  initialLr?: number
  [option: string]: unknown
}

export type ParamGroupInput = Partial<ParamGroup> & { params: Iterable<Tensor> }

/** What an optimizer trains: tensors, or groups of them with options of their own. */
export type Params = Iterable<Tensor> | ParamGroupInput[]

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

/** PyTorch's layout: what is remembered by the parameter's number over all groups, and the groups with those numbers. */
export type OptimizerStateDict = {
  state: Record<string, Record<string, Tensor | number>>
  /** Options under PyTorch's names, such as `weight_decay`; `params` are numbers of parameters. */
  param_groups: Array<Record<string, unknown>>
}

/** Lowest and highest value; the highest is allowed with `'closed'` only. Every number of a list must lie within. */
export type Range = readonly [low: number, high: number, end?: 'closed']

export const notNegative: Range = [0, Infinity]
export const belowOne: Range = [0, 1]

/**
 * Changes parameters by their gradients. A parameter without a gradient is left alone and its step count stands still.
 *
 * @throws ERR_ARGUMENT on an empty parameter list, a parameter that occurs twice, options out of range or unknown.
 */
export abstract class Optimizer<Options extends object = object> {
  readonly groups: Array<ParamGroup & Options> = []
  readonly defaults: Options & { lr: number }
  private readonly states = new Map<Tensor, ParameterState>()

  protected constructor(params: Params, defaults: Options & { lr: number }, options: object) {
    for (const option of Object.keys(options)) if (!(option in defaults)) throw this.unknownOption(option, defaults)
    const given = Object.entries(options).filter(([, value]) => value !== undefined)
    this.defaults = { ...defaults, ...(Object.fromEntries(given) as Partial<Options>) }
    const inputs: Array<Tensor | ParamGroupInput> = [...params]
    if (inputs.length === 0) throw new SptError('ERR_ARGUMENT', `${this.constructor.name} needs parameters, got none`)
    if (inputs.every(isGroup)) for (const input of inputs) this.addParamGroup(input)
    else this.addParamGroup({ params: inputs as Tensor[] })
  }

  /** Where the options of a group must lie; `lr` is checked anyway. */
  protected abstract ranges(): Partial<Record<keyof Options, Range>>

  /** Names of the tensors a parameter of this group needs, all of them zero at the start unless `fresh` says otherwise. */
  protected abstract stateNames(options: Options): string[]

  /** Applies the rule to all parameters of one group. */
  protected abstract update(group: ActiveGroup<Options>): void

  /** Called once for a parameter's new state, to set start values other than zero. */
  protected fresh?(state: ParameterState, param: Tensor, options: ParamGroup & Options): void

  /** What ranges cannot say. @throws ERR_ARGUMENT */
  protected check?(options: Options): void

  addParamGroup(input: ParamGroupInput): void {
    const params = [...input.params]
    const group = { ...this.defaults, ...input, params } as ParamGroup & Options
    const known = new Set(this.groups.flatMap((other) => other.params))
    params.forEach((param, index) => {
      if (!(param instanceof Tensor)) throw argumentInvalid(`${this.constructor.name}: params`, 'tensors', param)
      if (known.has(param)) {
        const name = group.names?.[index] ?? `[${param.shape.join(', ')}]`
        throw new SptError('ERR_ARGUMENT', `parameter ${name} is in the optimizer twice; give each parameter once`)
      }
      known.add(param)
    })
    for (const [option, range] of Object.entries<Range>({ lr: notNegative, ...this.ranges() })) {
      this.checkRange(option, group[option], range)
    }
    this.check?.(group)
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
    for (const group of this.groups) clearGradients(group.params)
  }

  /** Everything a bit-exact continuation needs, in PyTorch's layout; the tensors are the live ones, not copies. */
  stateDict(): OptimizerStateDict {
    let next = 0
    const groups = this.groups.map(({ params, names, ...options }) => ({
      ...Object.fromEntries(Object.entries(options).map(([option, value]) => [snakeCase(option), value])),
      ...(names !== undefined && { param_names: names }),
      params: params.map(() => next++),
    }))
    const states = this.groups.flatMap((group) => group.params).map((param) => this.states.get(param))
    const state = states.flatMap((kept, index) =>
      kept === undefined ? [] : [[String(index), { ...kept.numbers, ...kept.tensors }] as const],
    )
    return { state: Object.fromEntries(state), param_groups: groups }
  }

  /**
   * Takes over what {@link stateDict} gave, here or in PyTorch. Parameters are told apart by their order.
   *
   * @throws ERR_CHECKPOINT when groups, counts, shapes or the names of what is remembered differ from this optimizer's;
   *   nothing is changed then.
   */
  async loadStateDict(saved: OptimizerStateDict): Promise<void> {
    const counts = this.groups.map((group) => group.params.length)
    const savedCounts = saved.param_groups.map(({ params }) => (Array.isArray(params) ? params.length : 0))
    if (counts.join() !== savedCounts.join()) {
      throw new SptError(
        'ERR_CHECKPOINT',
        `optimizer state has groups of ${savedCounts.join(', ')} parameters, this optimizer has ${counts.join(', ')}`,
        { hint: 'Resume with the model and the optimizer settings that the checkpoint was written with.' },
      )
    }
    const loaded: Array<[Tensor, ParameterState | undefined]> = []
    for (const [index, group] of this.groups.entries()) {
      const numbers = saved.param_groups[index]?.['params'] as number[]
      const options = { ...group, ...optionsOf(saved.param_groups[index] ?? {}) }
      for (const [at, param] of group.params.entries()) {
        loaded.push([param, await this.readState(saved.state[String(numbers[at])], param, options)])
      }
    }
    this.groups.forEach((group, index) => Object.assign(group, optionsOf(saved.param_groups[index] ?? {})))
    for (const [param, state] of loaded) {
      for (const tensor of Object.values(this.states.get(param)?.tensors ?? {})) tensor.dispose()
      if (state === undefined) this.states.delete(param)
      else this.states.set(param, state)
    }
  }

  /** A copy of what was remembered about one parameter. */
  private async readState(
    saved: Record<string, unknown> | undefined,
    param: Tensor,
    options: ParamGroup & Options,
  ): Promise<ParameterState | undefined> {
    const entries = Object.entries(saved ?? {}).filter(([, value]) => value !== null && value !== undefined)
    if (entries.length === 0) return undefined
    const state: ParameterState = { tensors: {}, numbers: {} }
    const names = this.stateNames(options)
    for (const [name, value] of entries) {
      if (!names.includes(name)) {
        // PyTorch keeps counts as tensors of one element.
        const number = value instanceof Tensor && value.numel === 1 ? await value.item() : value
        if (typeof number === 'number') state.numbers[name] = number
        continue
      }
      if (!(value instanceof Tensor) || value.shape.join() !== param.shape.join()) {
        const got = value instanceof Tensor ? `shape [${value.shape.join(', ')}]` : show(value)
        throw new SptError(
          'ERR_CHECKPOINT',
          `optimizer state "${name}" has ${got}, its parameter has shape [${param.shape.join(', ')}]`,
        )
      }
      state.tensors[name] = value
        .to(param.dtype)
        .to(param.device as DeviceName)
        .clone()
        .keep()
    }
    const missing = names.filter((name) => state.tensors[name] === undefined)
    if (missing.length > 0) {
      throw new SptError(
        'ERR_CHECKPOINT',
        `optimizer state lacks ${missing.join(', ')}, which ${this.constructor.name} needs; it has ${entries.map(([name]) => name).join(', ')}`,
        { hint: 'Resume with the optimizer that the checkpoint was written with.' },
      )
    }
    // PyTorch's SGD counts no steps; that there is a momentum says that there was one.
    state.numbers.step ??= 1
    return state
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

  private checkRange(option: string, value: unknown, [low, high, end]: Range): void {
    for (const number of [value].flat()) {
      const within =
        typeof number === 'number' && number >= low && (number < high || (end !== undefined && number === high))
      if (within) continue
      const range =
        high === Infinity ? `${low} or more` : `at least ${low} and ${end === undefined ? 'below' : 'at most'} ${high}`
      throw argumentInvalid(`${this.constructor.name}: ${option}`, range, value)
    }
  }

  private unknownOption(option: string, defaults: object): SptError {
    const known = Object.keys(defaults)
    const near = suggest(option, known)
    const guess = near === undefined ? '' : `; did you mean "${near}"?`
    return new SptError('ERR_ARGUMENT', `${this.constructor.name} has no option "${option}"${guess}`, {
      hint: `Its options: ${known.join(', ')}.`,
    })
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

/** Sets a state tensor of a new parameter to a value other than zero. */
export function startAt(state: ParameterState, name: string, param: Tensor, value: number): void {
  state.tensors[name]?.dispose()
  state.tensors[name] = fullLike(param, value).keep()
}

/** The options of a saved group under this package's names; what PyTorch stores as None stays as it is here. */
function optionsOf({ params: _, param_names: __, ...options }: Record<string, unknown>): Record<string, unknown> {
  const given = Object.entries(options).filter(([, value]) => value !== null && value !== undefined)
  return Object.fromEntries(given.map(([name, value]) => [camelCase(name), value]))
}

function isGroup(input: Tensor | ParamGroupInput): input is ParamGroupInput {
  return typeof input === 'object' && input !== null && !(input instanceof Tensor) && 'params' in input
}
