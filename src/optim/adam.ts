/** Adam and its relatives: AdamW, Adamax, NAdam, RAdam and Lion. Each update is one native call a group. */
import { adamaxStep, adamStep, lionStep, nadamStep, radamStep } from '../tensor/index.js'
import {
  type ActiveGroup,
  belowOne,
  notNegative,
  Optimizer,
  type ParameterState,
  type Params,
  pick,
  type Range,
} from './optimizer.js'

export interface AdamWOptions {
  lr?: number
  /** Decay rates of the first and the second moment. */
  betas?: [number, number]
  eps?: number
  weightDecay?: number
  /** Divides by the largest mean square so far (Reddi et al. 2018, arXiv:1904.09237). */
  amsgrad?: boolean
  maximize?: boolean
}

export interface AdamOptions extends AdamWOptions {
  /** Weight decay shrinks the parameter by lr·wd, as in AdamW, instead of adding to the gradient. */
  decoupledWeightDecay?: boolean
}

const moments = { lr: 1e-3, betas: [0.9, 0.999] as [number, number], eps: 1e-8, weightDecay: 0, maximize: false }
const ranges: Record<'betas' | 'eps' | 'weightDecay', Range> = {
  betas: belowOne,
  eps: notNegative,
  weightDecay: notNegative,
}

/** Adam (Kingma & Ba 2015, arXiv:1412.6980); weight decay is added to the gradient. */
export class Adam extends Optimizer<Required<AdamOptions>> {
  constructor(params: Params, options: AdamOptions = {}) {
    super(params, { ...moments, amsgrad: false, decoupledWeightDecay: false }, options)
  }

  protected ranges() {
    return ranges
  }

  protected stateNames(options: Required<AdamWOptions>): string[] {
    return adamStateNames(options)
  }

  protected update(group: ActiveGroup<Required<AdamOptions>>): void {
    updateAdam(group, group.options.decoupledWeightDecay)
  }
}

/** AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); weight decay shrinks the parameter by lr·wd. */
export class AdamW extends Optimizer<Required<AdamWOptions>> {
  constructor(params: Params, options: AdamWOptions = {}) {
    super(params, { ...moments, weightDecay: 1e-2, amsgrad: false }, options)
  }

  protected ranges() {
    return ranges
  }

  protected stateNames(options: Required<AdamWOptions>): string[] {
    return adamStateNames(options)
  }

  protected update(group: ActiveGroup<Required<AdamWOptions>>): void {
    updateAdam(group, true)
  }
}

function adamStateNames({ amsgrad }: { amsgrad: boolean }): string[] {
  return amsgrad ? ['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'] : ['exp_avg', 'exp_avg_sq']
}

function updateAdam(group: ActiveGroup<Required<AdamWOptions>>, decoupled: boolean): void {
  const { options, params, states, steps } = group
  const { lr, betas, eps, weightDecay, amsgrad, maximize } = options
  const largest = amsgrad ? pick(states, 'max_exp_avg_sq') : []
  const hyper = { lr, beta1: betas[0], beta2: betas[1], eps, weightDecay, maximize, decoupled }
  adamStep(params, pick(states, 'exp_avg'), pick(states, 'exp_avg_sq'), largest, steps, hyper)
}

export type AdamaxOptions = Omit<AdamWOptions, 'amsgrad'>

/** Adamax: Adam with the largest instead of the mean square gradient (Kingma & Ba 2015, §7.1). */
export class Adamax extends Optimizer<Required<AdamaxOptions>> {
  constructor(params: Params, options: AdamaxOptions = {}) {
    super(params, { ...moments, lr: 2e-3 }, options)
  }

  protected ranges() {
    return ranges
  }

  protected stateNames(): string[] {
    return ['exp_avg', 'exp_inf']
  }

  protected update({ options, params, states, steps }: ActiveGroup<Required<AdamaxOptions>>): void {
    const { lr, betas, eps, weightDecay, maximize } = options
    const hyper = { lr, beta1: betas[0], beta2: betas[1], eps, weightDecay, maximize, decoupled: false }
    adamaxStep(params, pick(states, 'exp_avg'), pick(states, 'exp_inf'), steps, hyper)
  }
}

export interface NAdamOptions extends AdamaxOptions {
  /** ψ of Dozat's schedule of the momentum: β₁·(1 − 0.96^(step·ψ) / 2). */
  momentumDecay?: number
  decoupledWeightDecay?: boolean
}

/** NAdam: Adam with Nesterov momentum (Dozat 2016). */
export class NAdam extends Optimizer<Required<NAdamOptions>> {
  constructor(params: Params, options: NAdamOptions = {}) {
    super(params, { ...moments, lr: 2e-3, momentumDecay: 4e-3, decoupledWeightDecay: false }, options)
  }

  protected ranges() {
    return { ...ranges, momentumDecay: notNegative }
  }

  protected stateNames(): string[] {
    return ['exp_avg', 'exp_avg_sq']
  }

  protected override fresh(state: ParameterState): void {
    state.numbers.mu_product = 1
  }

  protected update({ options, params, states, steps }: ActiveGroup<Required<NAdamOptions>>): void {
    const { lr, betas, eps, weightDecay, momentumDecay, maximize, decoupledWeightDecay } = options
    const momentumAt = (step: number) => betas[0] * (1 - 0.5 * 0.96 ** (step * momentumDecay))
    const current = steps.map(momentumAt)
    const next = steps.map((step) => momentumAt(step + 1))
    const products = states.map((state, index) => {
      const product = (state.numbers.mu_product ?? 1) * (current[index] ?? 1)
      state.numbers.mu_product = product
      return product
    })
    const momenta = [current, next, products]
    nadamStep(params, pick(states, 'exp_avg'), pick(states, 'exp_avg_sq'), steps, momenta, {
      lr,
      beta1: betas[0],
      beta2: betas[1],
      eps,
      weightDecay,
      maximize,
      decoupled: decoupledWeightDecay,
    })
  }
}

export interface RAdamOptions extends AdamaxOptions {
  decoupledWeightDecay?: boolean
}

/** RAdam: Adam with a rectified step while the second moment is uncertain (Liu et al. 2020, arXiv:1908.03265). */
export class RAdam extends Optimizer<Required<RAdamOptions>> {
  constructor(params: Params, options: RAdamOptions = {}) {
    super(params, { ...moments, decoupledWeightDecay: false }, options)
  }

  protected ranges() {
    return ranges
  }

  protected stateNames(): string[] {
    return ['exp_avg', 'exp_avg_sq']
  }

  protected update({ options, params, states, steps }: ActiveGroup<Required<RAdamOptions>>): void {
    const { lr, betas, eps, weightDecay, maximize, decoupledWeightDecay } = options
    const hyper = { lr, beta1: betas[0], beta2: betas[1], eps, weightDecay, maximize, decoupled: decoupledWeightDecay }
    radamStep(params, pick(states, 'exp_avg'), pick(states, 'exp_avg_sq'), steps, hyper)
  }
}

export interface LionOptions {
  lr?: number
  betas?: [number, number]
  weightDecay?: number
  maximize?: boolean
}

/** Lion: the sign of a momentum (Chen et al. 2023, arXiv:2302.06675); weight decay is decoupled. */
export class Lion extends Optimizer<Required<LionOptions>> {
  constructor(params: Params, options: LionOptions = {}) {
    super(params, { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0, maximize: false }, options)
  }

  protected ranges() {
    return { betas: belowOne, weightDecay: notNegative }
  }

  protected stateNames(): string[] {
    return ['exp_avg']
  }

  protected update({ options, params, states }: ActiveGroup<Required<LionOptions>>): void {
    const { lr, betas, weightDecay, maximize } = options
    const hyper = { lr, beta1: betas[0], beta2: betas[1], eps: 0, weightDecay, maximize, decoupled: true }
    lionStep(params, pick(states, 'exp_avg'), hyper)
  }
}
