/** Stochastic gradient descent with momentum, and LARS, which scales each tensor's step by its own norm. */
import { SptError } from '../errors.js'
import { larsStep, sgdStep } from '../tensor/index.js'
import { type ActiveGroup, notNegative, Optimizer, type Params, pick } from './optimizer.js'

export interface SGDOptions {
  lr?: number
  momentum?: number
  dampening?: number
  weightDecay?: number
  nesterov?: boolean
  maximize?: boolean
}

type Momentum = Required<SGDOptions>

const descent = { lr: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false }
const ranges = { momentum: notNegative, weightDecay: notNegative }

/** SGD as in PyTorch: g ← g + wd·p; b ← μ·b + (1 − dampening)·g, with b = g at first; p ← p − lr·b. */
export class SGD extends Optimizer<Momentum> {
  constructor(params: Params, options: SGDOptions = {}) {
    super(params, { ...descent, maximize: false }, options)
  }

  protected ranges() {
    return ranges
  }

  protected override check(options: Momentum): void {
    checkNesterov(options)
  }

  protected stateNames({ momentum }: Momentum): string[] {
    return momentum === 0 ? [] : ['momentum_buffer']
  }

  protected update({ options, params, states, steps }: ActiveGroup<Momentum>): void {
    const { lr, momentum, dampening, weightDecay, nesterov, maximize } = options
    sgdStep(params, momentum === 0 ? [] : pick(states, 'momentum_buffer'), steps, {
      lr,
      momentum,
      dampening,
      weightDecay,
      nesterov,
      maximize,
    })
  }
}

export interface LARSOptions extends Omit<SGDOptions, 'maximize'> {
  /** Trust coefficient. */
  eta?: number
  eps?: number
  /** Limits the trust ratio so that the step is never larger than SGD's (LARC). */
  clipLr?: boolean
  /** Leaves tensors with one axis to plain SGD, without weight decay. */
  excludeBiasNNorm?: boolean
}

type Lars = Required<LARSOptions>

/**
 * LARS (You et al. 2017, arXiv:1708.03888): g ← (g + wd·p) · η‖p‖ / (‖g‖ + wd‖p‖ + ε), then SGD with momentum.
 * A tensor that is excluded, or whose norm or gradient norm is 0, keeps its gradient as it is: no weight decay either.
 */
export class LARS extends Optimizer<Lars> {
  constructor(params: Params, options: LARSOptions = {}) {
    super(params, { ...descent, eta: 1e-3, eps: 1e-8, clipLr: false, excludeBiasNNorm: false }, options)
  }

  protected ranges() {
    return { ...ranges, eta: notNegative, eps: notNegative }
  }

  protected override check(options: Lars): void {
    checkNesterov(options)
  }

  protected stateNames({ momentum }: Lars): string[] {
    return momentum === 0 ? [] : ['momentum_buffer']
  }

  protected update({ options, params, states, steps }: ActiveGroup<Lars>): void {
    const { lr, momentum, dampening, weightDecay, nesterov, eta, eps, clipLr, excludeBiasNNorm } = options
    larsStep(params, momentum === 0 ? [] : pick(states, 'momentum_buffer'), steps, {
      lr,
      momentum,
      dampening,
      weightDecay,
      nesterov,
      eta,
      eps,
      clipLr,
      excludeBiasNNorm,
    })
  }
}

function checkNesterov(options: { momentum: number; dampening: number; nesterov: boolean }): void {
  if (options.nesterov && (options.momentum <= 0 || options.dampening !== 0)) {
    throw new SptError(
      'ERR_ARGUMENT',
      `nesterov needs momentum above 0 and dampening 0, got momentum ${options.momentum}, dampening ${options.dampening}`,
    )
  }
}
