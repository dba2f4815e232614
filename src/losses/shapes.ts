/** What the losses ask of their inputs' shapes, said with the shapes that came. */
import { SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'

/** [samples, dim] of a matrix with at least so many samples. */
export function matrixSizes(name: string, z: Tensor, { atLeast = 1 } = {}): [samples: number, dim: number] {
  const [samples = 0, dim = 0] = z.shape
  if (z.ndim !== 2) throw new SptError('ERR_SHAPE', `${name}: expected [samples, dim], got ${shapeOf(z)}`)
  if (samples < atLeast) {
    throw new SptError('ERR_SHAPE', `${name}: expected at least ${atLeast} samples, got ${shapeOf(z)}`, {
      hint: atLeast > 1 ? 'Over fewer samples there is no variance. Drop the last incomplete batch.' : undefined,
    })
  }
  return [samples, dim]
}

/** [samples, dim] of two matrices of one shape, whose rows belong together. */
export function pairSizes(
  name: string,
  first: Tensor,
  second: Tensor,
  options?: { atLeast?: number },
): [number, number] {
  sameShapes(name, first, second)
  return matrixSizes(name, first, options)
}

/** Two tensors of one shape that hold something. */
export function sameShapes(name: string, first: Tensor, second: Tensor): void {
  if (first.shape.join() !== second.shape.join() || first.ndim !== second.ndim) {
    throw new SptError('ERR_SHAPE', `${name}: expected two of one shape, got ${shapeOf(first)} and ${shapeOf(second)}`)
  }
  if (first.numel === 0)
    throw new SptError('ERR_SHAPE', `${name}: ${shapeOf(first)} holds nothing; its mean is undefined`)
}

export function shapeOf({ shape }: Tensor): string {
  return `[${shape.join(', ')}]`
}
