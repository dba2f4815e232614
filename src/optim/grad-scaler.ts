/** Loss scaling for float16, as `torch.amp.GradScaler` (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2). */
import { argumentInvalid, SptError } from '../errors.js'
import { gradientNorm, scaleGradients, type Tensor } from '../tensor/index.js'
import type { Optimizer } from './optimizer.js'

/** Names and defaults are PyTorch's. */
export interface GradScalerOptions {
  /** What losses are multiplied by at first. */
  initScale?: number
  /** What the scale is multiplied by after `growthInterval` updates in a row without an infinite gradient; above 1. */
  growthFactor?: number
  /** What the scale is multiplied by after an infinite gradient; between 0 and 1. */
  backoffFactor?: number
  growthInterval?: number
}

export interface GradScalerState {
  scale: number
  growthTracker: number
}

/**
 * Multiplies the loss, so that gradients too small for float16 are not lost on their way, and divides the gradients of the
 * parameters by the same before a step. A step whose gradients are not finite is left out, and the scale lowered; it grows
 * again after `growthInterval` steps that went well. Powers of 2 change no bit of a gradient that float16 holds anyway.
 *
 * ```ts
 * scaler.scale(loss).backward()
 * scaler.step(optimizer) // unscales, if `unscale` was not called before
 * scaler.update()
 * optimizer.zeroGrad()
 * ```
 *
 * One number an optimizer and step is read from the device: whether its gradients are finite.
 */
export class GradScaler {
  readonly #growthFactor: number
  readonly #backoffFactor: number
  readonly #growthInterval: number
  #scale: number
  #growthTracker = 0
  /** Norms of the gradients of those that were unscaled since the last update. */
  readonly #norms = new Map<Optimizer, number>()

  constructor(options: GradScalerOptions = {}) {
    const { initScale = 65536, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } = options
    if (!(initScale > 0 && Number.isFinite(initScale))) {
      throw argumentInvalid('GradScaler: initScale', 'a positive number', initScale)
    }
    if (!(growthFactor > 1)) throw argumentInvalid('GradScaler: growthFactor', 'a number above 1', growthFactor)
    if (!(backoffFactor > 0 && backoffFactor < 1)) {
      throw argumentInvalid('GradScaler: backoffFactor', 'a number between 0 and 1', backoffFactor)
    }
    if (!(Number.isInteger(growthInterval) && growthInterval > 0)) {
      throw argumentInvalid('GradScaler: growthInterval', 'a positive integer', growthInterval)
    }
    this.#scale = initScale
    this.#growthFactor = growthFactor
    this.#backoffFactor = backoffFactor
    this.#growthInterval = growthInterval
  }

  getScale(): number {
    return this.#scale
  }

  scale(loss: Tensor): Tensor {
    return loss.mul(this.#scale)
  }

  /**
   * Divides the gradients of an optimizer's parameters by the scale; what clips gradients comes behind this.
   *
   * @param window batches whose gradients were added up, which are averaged on the way.
   * @returns their norm: infinite or NaN, and the step is left out.
   * @throws ERR_ARGUMENT if it was called since the last `update`.
   */
  unscale(optimizer: Optimizer, window = 1): number {
    if (this.#norms.has(optimizer)) {
      throw new SptError('ERR_ARGUMENT', 'GradScaler: these gradients are unscaled already', {
        hint: 'Call unscale once a step, and update() behind the steps.',
      })
    }
    const params = optimizer.groups.flatMap((group) => group.params)
    scaleGradients(params, 1 / (this.#scale * window))
    const norm = gradientNorm(params)
    this.#norms.set(optimizer, norm)
    return norm
  }

  /** A step of the optimizer, if its gradients are finite; says whether there was one. */
  step(optimizer: Optimizer): boolean {
    const norm = this.#norms.get(optimizer) ?? this.unscale(optimizer)
    if (!Number.isFinite(norm)) return false
    optimizer.step()
    return true
  }

  /** Lowers the scale if a gradient was not finite since the last call, else raises it when the time has come. */
  update(): void {
    if (this.#norms.size === 0) return
    const finite = [...this.#norms.values()].every(Number.isFinite)
    this.#norms.clear()
    if (!finite) {
      this.#scale *= this.#backoffFactor
      this.#growthTracker = 0
    } else if (++this.#growthTracker === this.#growthInterval) {
      // A scale that float32 does not hold stays as it is.
      const grown = Math.fround(this.#scale * this.#growthFactor)
      if (Number.isFinite(grown)) this.#scale = grown
      this.#growthTracker = 0
    }
  }

  stateDict(): GradScalerState {
    return { scale: this.#scale, growthTracker: this.#growthTracker }
  }

  loadStateDict({ scale, growthTracker }: GradScalerState): void {
    this.#scale = scale
    this.#growthTracker = growthTracker
  }
}
