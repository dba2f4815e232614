/** Optimizers that divide by a running or total sum of squares (Adagrad, Adadelta, RMSprop), and ASGD and Rprop. */
import { argumentInvalid } from '../errors.js'
import { adadeltaStep, adagradStep, asgdStep, rmspropStep, rpropStep, type Tensor } from '../tensor/index.js'
import {
  type ActiveGroup,
  notNegative,
  Optimizer,
  type ParameterState,
  type ParamGroup,
  type Params,
  pick,
  type Range,
  startAt,
} from './optimizer.js'

/** The native steps share one set of options; what a rule does not read is 0. */
const unused = { decay: 0, lrDecay: 0, momentum: 0 }

export interface AdagradOptions {
  lr?: number
  /** The rate of step t is lr / (1 + (t − 1) · lrDecay). */
  lrDecay?: number
  weightDecay?: number
  initialAccumulatorValue?: number
  eps?: number
  maximize?: boolean
}

/** Adagrad (Duchi et al. 2011). */
export class Adagrad extends Optimizer<Required<AdagradOptions>> {
  constructor(params: Params, options: AdagradOptions = {}) {
    const own = { lr: 1e-2, lrDecay: 0, weightDecay: 0, initialAccumulatorValue: 0, eps: 1e-10, maximize: false }
    super(params, own, options)
  }

  protected ranges() {
    return { lrDecay: notNegative, weightDecay: notNegative, initialAccumulatorValue: notNegative, eps: notNegative }
  }

  protected stateNames(): string[] {
    return ['sum']
  }

  protected override fresh(state: ParameterState, param: Tensor, options: ParamGroup & Required<AdagradOptions>): void {
    startAt(state, 'sum', param, options.initialAccumulatorValue)
  }

  protected update({ options, params, states, steps }: ActiveGroup<Required<AdagradOptions>>): void {
    const { lr, lrDecay, weightDecay, eps, maximize } = options
    adagradStep(params, pick(states, 'sum'), steps, { ...unused, lr, lrDecay, weightDecay, eps, maximize })
  }
}

export interface AdadeltaOptions {
  lr?: number
  rho?: number
  eps?: number
  weightDecay?: number
  maximize?: boolean
}

/** Adadelta (Zeiler 2012, arXiv:1212.5701). */
export class Adadelta extends Optimizer<Required<AdadeltaOptions>> {
  constructor(params: Params, options: AdadeltaOptions = {}) {
    super(params, { lr: 1, rho: 0.9, eps: 1e-6, weightDecay: 0, maximize: false }, options)
  }

  protected ranges() {
    const share: Range = [0, 1, 'closed']
    return { rho: share, eps: notNegative, weightDecay: notNegative }
  }

  protected stateNames(): string[] {
    return ['square_avg', 'acc_delta']
  }

  protected update({ options, params, states }: ActiveGroup<Required<AdadeltaOptions>>): void {
    const { lr, rho, eps, weightDecay, maximize } = options
    const hyper = { ...unused, lr, decay: rho, eps, weightDecay, maximize }
    adadeltaStep(params, pick(states, 'square_avg'), pick(states, 'acc_delta'), hyper)
  }
}

export interface RMSpropOptions {
  lr?: number
  alpha?: number
  eps?: number
  weightDecay?: number
  momentum?: number
  /** Divides by the standard deviation instead of the root mean square. */
  centered?: boolean
  maximize?: boolean
}

type Rms = Required<RMSpropOptions>

/** RMSprop (Hinton 2012, lecture 6e), centred as in Graves 2013, arXiv:1308.0850. */
export class RMSprop extends Optimizer<Rms> {
  constructor(params: Params, options: RMSpropOptions = {}) {
    const own = { lr: 1e-2, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, centered: false, maximize: false }
    super(params, own, options)
  }

  protected ranges() {
    return { alpha: notNegative, eps: notNegative, weightDecay: notNegative, momentum: notNegative }
  }

  protected stateNames({ momentum, centered }: Rms): string[] {
    return ['square_avg', ...(momentum > 0 ? ['momentum_buffer'] : []), ...(centered ? ['grad_avg'] : [])]
  }

  protected update({ options, params, states }: ActiveGroup<Rms>): void {
    const { lr, alpha, eps, weightDecay, momentum, centered, maximize } = options
    const buffers = momentum > 0 ? pick(states, 'momentum_buffer') : []
    const averages = centered ? pick(states, 'grad_avg') : []
    const hyper = { ...unused, lr, decay: alpha, eps, weightDecay, momentum, maximize }
    rmspropStep(params, pick(states, 'square_avg'), buffers, averages, hyper)
  }
}

export interface ASGDOptions {
  lr?: number
  lambd?: number
  alpha?: number
  /** The step at which averaging starts. */
  t0?: number
  weightDecay?: number
  maximize?: boolean
}

type Averaged = Required<ASGDOptions>

/** Averaged SGD (Polyak & Juditsky 1992): the mean is kept in the state `ax`, the parameters themselves are not averaged. */
export class ASGD extends Optimizer<Averaged> {
  constructor(params: Params, options: ASGDOptions = {}) {
    super(params, { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weightDecay: 0, maximize: false }, options)
  }

  protected ranges() {
    return { weightDecay: notNegative }
  }

  protected stateNames(): string[] {
    return ['ax']
  }

  protected override fresh(state: ParameterState, _param: Tensor, { lr }: ParamGroup): void {
    state.numbers.eta = lr
    state.numbers.mu = 1
  }

  protected update({ options, params, states, steps }: ActiveGroup<Averaged>): void {
    const { lr, lambd, alpha, t0, weightDecay, maximize } = options
    const etas = states.map((state) => state.numbers.eta ?? lr)
    const mus = states.map((state) => state.numbers.mu ?? 1)
    asgdStep(params, pick(states, 'ax'), etas, mus, lambd, weightDecay, maximize)
    states.forEach((state, index) => {
      const step = steps[index] ?? 1
      state.numbers.eta = lr / (1 + lambd * lr * step) ** alpha
      state.numbers.mu = 1 / Math.max(1, step - t0)
    })
  }
}

export interface RpropOptions {
  lr?: number
  /** Factors of a step size after a change of sign and after none. */
  etas?: [number, number]
  /** Smallest and largest step size. */
  stepSizes?: [number, number]
  maximize?: boolean
}

/** Resilient backpropagation (Riedmiller & Braun 1993): only the signs of the gradients count. */
export class Rprop extends Optimizer<Required<RpropOptions>> {
  constructor(params: Params, options: RpropOptions = {}) {
    const own = { lr: 1e-2, etas: [0.5, 1.2] as [number, number], stepSizes: [1e-6, 50] as [number, number] }
    super(params, { ...own, maximize: false }, options)
  }

  protected ranges() {
    return { stepSizes: notNegative }
  }

  protected override check({ etas }: Required<RpropOptions>): void {
    if (etas[0] > 0 && etas[0] < 1 && etas[1] > 1) return
    throw argumentInvalid('Rprop: etas', 'a first factor between 0 and 1 and a second above 1', etas)
  }

  protected stateNames(): string[] {
    return ['prev', 'step_size']
  }

  protected override fresh(state: ParameterState, param: Tensor, { lr }: ParamGroup): void {
    startAt(state, 'step_size', param, lr)
  }

  protected update({ options, params, states }: ActiveGroup<Required<RpropOptions>>): void {
    const { etas, stepSizes, maximize } = options
    rpropStep(params, pick(states, 'prev'), pick(states, 'step_size'), {
      etaMinus: etas[0],
      etaPlus: etas[1],
      smallestStep: stepSizes[0],
      largestStep: stepSizes[1],
      maximize,
    })
  }
}
