/** Numbers that may depend on the batch size: what two runs with different batches tell apart. */

/** A number, or `perBatch · batch + plus`. */
export type Size = number | VaryingSize

export class VaryingSize {
  readonly perBatch: number
  readonly plus: number

  constructor(perBatch: number, plus: number) {
    this.perBatch = perBatch
    this.plus = plus
  }
}

/** What was `first` with one batch size and `second` with another; undefined when no whole numbers explain both. */
export function sizeOf(first: number, second: number, batches: readonly [number, number]): Size | undefined {
  if (Object.is(first, second)) return first
  const perBatch = (second - first) / (batches[1] - batches[0])
  const plus = first - perBatch * batches[0]
  return Number.isInteger(perBatch) && Number.isInteger(plus) ? new VaryingSize(perBatch, plus) : undefined
}

export function sameSize(a: Size | undefined, b: Size | undefined): boolean {
  if (a instanceof VaryingSize && b instanceof VaryingSize) return a.perBatch === b.perBatch && a.plus === b.plus
  return a === b
}

/** a + factor · b. */
export function addSizes(a: Size, b: Size, factor = 1): Size {
  const [first, second] = [parts(a), parts(b)]
  const perBatch = first.perBatch + factor * second.perBatch
  const plus = first.plus + factor * second.plus
  return perBatch === 0 ? plus : new VaryingSize(perBatch, plus)
}

/** As people write it in a model's shape: 3, batch, 2*batch+1. */
export function showSize(size: Size): string {
  if (!(size instanceof VaryingSize)) return String(size)
  const { perBatch, plus } = size
  const product = perBatch === 1 ? 'batch' : `${perBatch}*batch`
  return plus === 0 ? product : `${product}${plus > 0 ? '+' : ''}${plus}`
}

function parts(size: Size): { perBatch: number; plus: number } {
  return size instanceof VaryingSize ? size : { perBatch: 0, plus: size }
}
