/** Losses that push embeddings towards a standard normal distribution: LeJEPA's SIGReg and VISReg. */
import { argumentInvalid, SptError } from '../errors.js'
import { Module } from '../nn/index.js'
import { randn, type Tensor, tensor } from '../tensor/index.js'
import { matrixSizes, shapeOf } from './shapes.js'

/**
 * The Epps–Pulley statistic of each column of [samples, columns]: N · ∫ |φ̂(t) − e^{−t²/2}|² e^{−t²/2} dt, by the
 * trapezoid rule on [0, tMax] and doubled (Epps & Pulley 1983; Balestriero & LeCun 2025, arXiv:2511.08544).
 */
export class EppsPulley extends Module {
  readonly points: Float64Array
  readonly weights: Float64Array

  constructor({ tMax = 3, nPoints = 17 } = {}) {
    super()
    if (!(Number.isInteger(nPoints) && nPoints >= 2))
      throw argumentInvalid('EppsPulley: nPoints', 'a whole number of at least 2', nPoints)
    if (!(tMax > 0)) throw argumentInvalid('EppsPulley: tMax', 'a number above 0', tMax)
    const step = tMax / (nPoints - 1)
    this.points = Float64Array.from({ length: nPoints }, (_, index) => index * step)
    this.weights = this.points.map((t, index) => {
      const end = index === 0 || index === nPoints - 1
      return (end ? step : 2 * step) * Math.exp((-t * t) / 2)
    })
  }

  /** [samples, columns] → [columns] */
  forward(samples: Tensor): Tensor {
    if (samples.numel === 0) throw new SptError('ERR_SHAPE', `EppsPulley: ${shapeOf(samples)} holds no samples`)
    const { dtype } = samples
    const t = tensor(this.points, { dtype })
    const normal = tensor(
      this.points.map((point) => Math.exp((-point * point) / 2)),
      { dtype },
    )
    const phases = samples.unsqueeze(-1).mul(t) // [samples, columns, points]
    const real = phases.cos().mean(0).sub(normal)
    const imaginary = phases.sin().mean(0)
    const distance = real.square().add(imaginary.square()) // [columns, points]
    return distance.matmul(tensor(this.weights, { dtype })).mul(samples.shape[0] ?? 0)
  }
}

/**
 * SIGReg as a module: the mean Epps–Pulley statistic of [samples, dim] along `nSlices` unit directions, drawn anew with
 * every call from the default generator, whose state is in checkpoints.
 */
export class SlicedEppsPulley extends Module {
  readonly nSlices: number
  readonly test: EppsPulley

  constructor({ nSlices = 1024, tMax = 3, nPoints = 17 } = {}) {
    super()
    this.nSlices = nSlices
    this.test = new EppsPulley({ tMax, nPoints })
  }

  forward(samples: Tensor): Tensor {
    const [, dim] = matrixSizes('SlicedEppsPulley', samples)
    return slicedGaussianity(samples, directionsFor(samples, dim, this.nSlices), this.test)
  }
}

/** Normal numbers [dim, slices] of the samples' type. */
function directionsFor(samples: Tensor, dim: number, slices: number): Tensor {
  return randn([dim, slices], { dtype: samples.dtype === 'float64' ? 'float64' : 'float32' })
}

/** SIGReg: the mean Epps–Pulley statistic of [samples, dim] along unit directions, the columns of [dim, slices]. */
export function slicedGaussianity(samples: Tensor, directions: Tensor, test = new EppsPulley()): Tensor {
  return test.forward(samples.matmul(directions.normalize(2, 0))).mean()
}

/**
 * LeJEPA's loss: the distance of all views to the mean of the global ones, plus λ · SIGReg.
 *
 * @param projections [views, samples, dim], the global views first
 * @param directions [dim, slices], made unit length here
 */
export function leJepaLoss(
  projections: Tensor,
  directions: Tensor,
  { nGlobal, lamb = 0.02, test = new EppsPulley() }: { nGlobal: number; lamb?: number; test?: EppsPulley },
): { loss: Tensor; invariance: Tensor; sigreg: Tensor } {
  if (projections.ndim !== 3 || !(nGlobal >= 1 && nGlobal <= (projections.shape[0] ?? 0))) {
    const expected = `[views, samples, dim] with ${nGlobal} global views or more`
    throw new SptError('ERR_SHAPE', `leJepaLoss: expected ${expected}, got ${shapeOf(projections)}`)
  }
  const center = projections.narrow(0, 0, nGlobal).mean(0, true) // [1, samples, dim]
  const invariance = center.sub(projections).square().mean()
  const sigreg = slicedGaussianity(projections.reshape([-1, projections.shape.at(-1) ?? 0]), directions, test)
  return { loss: invariance.add(sigreg.mul(lamb)), invariance, sigreg }
}

export interface VISRegOptions {
  lambdaScale?: number
  lambdaShape?: number
  lambdaCenter?: number
  /** Directions that are drawn where none are given. */
  numProjections?: number
}

/** VISReg: centre, scale and shape of each view [views, samples, dim] against the standard normal distribution. */
export class VISRegLoss extends Module {
  readonly options: Required<VISRegOptions>

  constructor({ lambdaScale = 1, lambdaShape = 1, lambdaCenter = 1, numProjections = 256 }: VISRegOptions = {}) {
    super()
    this.options = { lambdaScale, lambdaShape, lambdaCenter, numProjections }
  }

  /** @param directions [dim, slices], made unit length here; drawn from the default generator where absent */
  forward(z: Tensor, directions?: Tensor): Tensor {
    const [, samples = 0, dim = 0] = z.shape
    if (z.ndim !== 3 || z.numel === 0)
      throw new SptError('ERR_SHAPE', `VISRegLoss: expected [views, samples, dim], got ${shapeOf(z)}`)
    const { lambdaScale, lambdaShape, lambdaCenter, numProjections } = this.options
    const along = directions ?? directionsFor(z, dim, numProjections)
    const mean = z.mean(1, true) // [views, 1, dim]
    const centred = z.sub(mean)
    const std = centred.norm(2, 1, true).div(Math.sqrt(samples)).add(1e-6)
    const scale = std.sub(1).square().mean()
    const slices = centred.div(std.detach()).matmul(along.normalize(2, 0)) // [views, samples, slices]
    const quantiles = tensor(
      Float64Array.from({ length: samples }, (_, index) => normalQuantile((index + 1) / (samples + 1))),
      { shape: [samples, 1], dtype: z.dtype },
    )
    const shape = slices.sort(1)[0].sub(quantiles).square().mean()
    return mean.square().mean().mul(lambdaCenter).add(scale.mul(lambdaScale)).add(shape.mul(lambdaShape))
  }
}

/** The x with Φ(x) = p: Winitzki's start for erf⁻¹, then three Halley steps, which reach double precision. */
export function normalQuantile(p: number): number {
  const y = 2 * p - 1
  let x = Math.SQRT2 * roughInverseErf(y)
  for (let round = 0; round < 3; round += 1) {
    const error = 0.5 * erfc(-x / Math.SQRT2) - p
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
    const step = error / density
    x -= step / (1 + (x * step) / 2)
  }
  return x
}

/** Winitzki's approximation, good to 2e-3: only a start. */
function roughInverseErf(y: number): number {
  const a = 0.147
  const log = Math.log(1 - y * y)
  const half = 2 / (Math.PI * a) + log / 2
  return Math.sign(y) * Math.sqrt(Math.sqrt(half * half - log / a) - half)
}

/** Complementary error function by its series (|x| < 2.5) or continued fraction, to double precision. */
function erfc(x: number): number {
  if (Math.abs(x) < 2.5) {
    let term = x
    let sum = x
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 100; n += 1) {
      term *= (-x * x) / n
      sum += term / (2 * n + 1)
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum
  }
  if (x < 0) return 2 - erfc(-x)
  let fraction = 0
  for (let n = 60; n > 0; n -= 1) fraction = n / 2 / (x + fraction)
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction)
}
