/** Single products and convolutions. */
import * as sp from 'stable-pretraining'
import type { Case } from '../harness/cases.js'
import type { Setting } from '../harness/options.js'
import type { Work } from './program.js'
import { sixteen } from './steps.js'

/** Normal numbers as the peers have them. */
const normal = (shape: readonly number[], { precision }: Setting, scale = 1) =>
  sp
    .randn(shape)
    .mul(scale)
    .to(sixteen(precision) ?? 'float32')

export function product({ sizes: [m, k, n] }: Case & { kind: 'gemm' }, setting: Setting): Work {
  const [a, b] = [normal([m, k], setting), normal([k, n], setting)]
  return {
    run: () => sp.scope(() => a.matmul(b)),
  }
}

/** Stride 1, padding 1, 3×3, as many channels out as in; images lie channels last, as for the peers. */
export function convolution({ images, channels, side, backward }: Case & { kind: 'conv' }, setting: Setting): Work {
  const pictures = () => normal([images, side, side, channels], setting).permute([0, 3, 1, 2])
  const [x, gradient] = [pictures(), pictures()]
  const weight = normal([channels, channels, 3, 3], setting, 0.05)
  if (!backward) return { run: () => sp.noGrad(() => sp.scope(() => x.conv2d(weight, null, 1, 1))) }
  x.requiresGrad = true
  weight.requiresGrad = true
  return {
    run: () =>
      sp.scope(() => {
        x.conv2d(weight, null, 1, 1).backward(gradient)
        const { grad } = weight
        x.setGrad(null)
        weight.setGrad(null)
        return grad as sp.Tensor
      }),
  }
}
