/** Writing and reading by several indices at once: indexPut, indexGet, unbind. One index along one axis is native. */
import { argumentInvalid } from '../errors.js'
import { arange, type Tensor, where } from '../native.js'

declare module '#binding' {
  interface Tensor {
    /**
     * This with `values` at the places that the indices name: one tensor (int64, broadcast together, negative from the
     * end) for each of the first dimensions, or one bool mask over several. `values` is broadcast to
     * [..indices, ..rest]. Where a place is named twice, the last value wins, or all are added with `accumulate`.
     */
    indexPut(indices: readonly Tensor[], values: Tensor, accumulate?: boolean): Tensor
    /** The elements at the places that the indices name, as `indexPut` takes them: [..indices, ..rest]. */
    indexGet(indices: readonly Tensor[]): Tensor
    /** Each index along `dim` (default 0) by itself; views. */
    unbind(dim?: number): Tensor[]
  }
}

export const indexing: ThisType<Tensor> & Record<string, unknown> = {
  indexPut(indices: readonly Tensor[], values: Tensor, accumulate = false): Tensor {
    const { rows, sizes, rest } = rowsOf('indexPut', this, indices)
    const width = rest.reduce((product, size) => product * size, 1)
    const lines = this.reshape([this.shape.slice(0, this.ndim - rest.length).reduce((a, b) => a * b, 1), width])
    const spread = values
      .to(this.dtype)
      .expand([...sizes, ...rest])
      .reshape([rows.numel, width])
    const changed = accumulate
      ? lines.indexAdd(0, rows, spread)
      : lines.scatter(0, rows.unsqueeze(1).expand([rows.numel, width]), spread)
    return changed.reshape(this.shape)
  },

  indexGet(indices: readonly Tensor[]): Tensor {
    const { rows, sizes, rest } = rowsOf('indexGet', this, indices)
    const lead = this.shape.slice(0, this.ndim - rest.length).reduce((a, b) => a * b, 1)
    return this.reshape([lead, ...rest])
      .indexSelect(0, rows)
      .reshape([...sizes, ...rest])
  },

  unbind(dim = 0): Tensor[] {
    const axis = dim < 0 ? dim + this.ndim : dim
    const size = this.shape[axis]
    if (size === undefined) throw argumentInvalid('unbind: dim', `an axis of ${this.ndim}`, dim)
    return Array.from({ length: size }, (_, index) => this.select(axis, index))
  },
}

/** Places among the first dimensions taken as one: [n], their shape before, and the sizes of the other dimensions. */
function rowsOf(name: string, x: Tensor, given: readonly Tensor[]): { rows: Tensor; sizes: number[]; rest: number[] } {
  const indices = given.flatMap((index) =>
    index.dtype === 'bool'
      ? index
          .nonzero()
          .split(1, 1)
          .map((i) => i.squeeze(1))
      : [index],
  )
  const [first, ...others] = indices.map((index, axis) => placed(name, x, index, axis, indices.length))
  if (!first) throw argumentInvalid(`${name}: indices`, 'a tensor for at least one dimension', given.length)
  const rows = others.reduce((sum, other) => sum.add(other), first)
  return { rows: rows.reshape([-1]), sizes: rows.shape, rest: x.shape.slice(indices.length) }
}

/** An index along an axis times the step of that axis among the first `count`. */
function placed(name: string, x: Tensor, index: Tensor, axis: number, count: number): Tensor {
  const size = x.shape[axis]
  if (size === undefined) throw argumentInvalid(`${name}: indices`, `at most ${x.ndim} of them`, count)
  const step = x.shape.slice(axis + 1, count).reduce((product, next) => product * next, 1)
  const counted = where(index.lt(0), index.add(size), index)
  // Reading the numbers 0, 1, … by the index refuses one that lies outside its own axis.
  const checked = arange(0, size, 1, 'int64')
    .indexSelect(0, counted.reshape([-1]))
    .reshape(index.shape)
  return checked.mul(step)
}
