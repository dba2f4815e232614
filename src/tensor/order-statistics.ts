/** What lies where in the order of the elements: medians, quantiles, histograms. */
import { argumentInvalid } from '../errors.js'
import { full, stack, type Tensor, where } from '../native.js'

/** What a quantile between two elements is: a point on the line between them, or one of them. */
export type QuantileInterpolation = 'linear' | 'lower' | 'higher' | 'nearest' | 'midpoint'

declare module '#binding' {
  interface Tensor {
    /** The middle element, the lower of two; or, along a dimension, `[values, indices]`. A NaN wins. */
    median<D extends number | undefined = undefined>(
      dim?: D,
      keepdim?: boolean,
    ): D extends number ? [values: Tensor, indices: Tensor] : Tensor
    /**
     * The values below which the shares `q` (0 to 1) of the elements lie, along `dim` (default: all elements). Several
     * shares make a new first dimension. A NaN wins.
     */
    quantile(
      q: number | readonly number[],
      dim?: number,
      keepdim?: boolean,
      interpolation?: QuantileInterpolation,
    ): Tensor
    /**
     * How many elements fall into each of `bins` (default 100) parts of equal width from `min` to `max`, the end
     * included; by default from the smallest to the largest element. In this tensor's type.
     */
    histc(bins?: number, min?: number, max?: number): Tensor
  }
}

export const orderStatistics: ThisType<Tensor> & Record<string, unknown> = {
  median(dim?: number, keepdim = false): Tensor | [Tensor, Tensor] {
    const { line, axis, length } = alongAxis('median', this, dim)
    const [values, indices] = line.sort(axis)
    const middle = (sorted: Tensor) => {
      const [inside, last] = [Math.floor((length - 1) / 2), length - 1].map((at) => sorted.narrow(axis, at, 1))
      return finish(
        where(isLastNaN(values, axis), last as Tensor, inside as Tensor),
        axis,
        keepdim && dim !== undefined,
      )
    }
    return dim === undefined ? middle(values) : [middle(values), middle(indices)]
  },

  quantile(
    q: number | readonly number[],
    dim?: number,
    keepdim = false,
    interpolation: QuantileInterpolation = 'linear',
  ): Tensor {
    const { line, axis, length } = alongAxis('quantile', this, dim)
    const [sorted] = line.sort(axis)
    const nan = isLastNaN(sorted, axis)
    const last = sorted.narrow(axis, length - 1, 1)
    const one = (share: number) => {
      if (!(share >= 0 && share <= 1)) throw argumentInvalid('quantile: q', 'a share from 0 to 1', share)
      const { low, weight } = place(share * (length - 1), interpolation)
      const below = sorted.narrow(axis, low, 1)
      const value =
        weight === 0
          ? below
          : below.add(
              sorted
                .narrow(axis, low + 1, 1)
                .sub(below)
                .mul(weight),
            )
      const kept = where(nan, last, value)
      if (!keepdim) return finish(kept, axis, false)
      return dim === undefined ? kept.reshape(this.shape.map(() => 1)) : kept
    }
    return typeof q === 'number' ? one(q) : stack(q.map(one), 0)
  },

  histc(bins = 100, min = 0, max = 0): Tensor {
    if (!(Number.isInteger(bins) && bins > 0)) throw argumentInvalid('histc: bins', 'a whole number above 0', bins)
    if (!(min <= max && Number.isFinite(max - min))) throw argumentInvalid('histc: min, max', 'a range', [min, max])
    const values = this.detach().reshape([-1])
    const counts = full([bins], 0, this.dtype)
    if (values.numel === 0) return counts
    const given = min < max
    const [least, largest] = [
      given ? full([], min, this.dtype) : values.amin(),
      given ? full([], max, this.dtype) : values.amax(),
    ]
    // A single value lies in the middle of a range of width 2.
    const alone = least.eq(largest).to(this.dtype)
    const [low, high] = [least.sub(alone), largest.add(alone)]
    const inside = values.ge(low).to('int64').mul(values.le(high).to('int64'))
    const share = where(inside.ne(0), values.sub(low).div(high.sub(low)), full([], 0, this.dtype))
    const place = share.mul(bins).to('int64')
    // The upper end belongs to the last part.
    const last = full([], bins - 1, 'int64')
    return counts.indexAdd(0, where(place.gt(last), last, place), inside.to(this.dtype))
  },
}

/** The tensor as lines along an axis (one line of all elements without), which must not be empty. */
function alongAxis(name: string, x: Tensor, dim: number | undefined): { line: Tensor; axis: number; length: number } {
  const line = dim === undefined ? x.reshape([-1]) : x
  const axis = dim === undefined ? 0 : dim < 0 ? dim + x.ndim : dim
  const length = line.shape[axis]
  if (length === undefined) throw argumentInvalid(`${name}: dim`, `an axis of ${x.ndim}`, dim)
  if (length === 0) throw argumentInvalid(name, 'elements to choose from', x.shape)
  return { line, axis, length }
}

/** Whether a line holds a NaN: sorting puts it last. */
function isLastNaN(sorted: Tensor, axis: number): Tensor {
  const last = sorted.detach().narrow(axis, (sorted.shape[axis] ?? 1) - 1, 1)
  return last.ne(last)
}

function finish(value: Tensor, axis: number, keepdim: boolean): Tensor {
  return keepdim ? value : value.squeeze(axis)
}

/** The element below a position, and how much of the way to the next one to go. */
function place(position: number, interpolation: QuantileInterpolation): { low: number; weight: number } {
  const low = Math.floor(position)
  const fraction = position - low
  if (fraction === 0 || interpolation === 'lower') return { low, weight: 0 }
  if (interpolation === 'higher') return { low: low + 1, weight: 0 }
  if (interpolation === 'linear') return { low, weight: fraction }
  if (interpolation === 'midpoint') return { low, weight: 0.5 }
  // Halves go to the even neighbour.
  const up = fraction > 0.5 || (fraction === 0.5 && low % 2 === 1)
  return { low: up ? low + 1 : low, weight: 0 }
}
