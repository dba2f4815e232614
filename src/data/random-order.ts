/**
 * Random orders that are a function of a seed alone, by counting: Philox 4x32-10 (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"), the generator of the native core, word for word. It draws no tensors; see `rand` for those.
 */

type Halves = readonly [low: number, high: number]

/** Words of one sequence. */
export class Philox {
  readonly #key: Halves
  readonly #stream: Halves
  #block: readonly number[] = []
  #position = 0

  private constructor(key: Halves, stream: Halves) {
    this.#key = key
    this.#stream = stream
  }

  /** Sequence `stream` of `seed`; both whole numbers below 2^53. */
  static of(seed: number, stream = 0): Philox {
    return new Philox(halves(seed), halves(stream))
  }

  /** A sequence of its own for (index, first, second) under `seed`; different triples never share one. */
  static derived(seed: number, index: number, first: number, second: number): Philox {
    const [a, b, c, d] = philox([...halves(index), first >>> 0, second >>> 0], halves(seed))
    return new Philox([a, b], [c, d])
  }

  /** The next 32 bits. */
  word(): number {
    const lane = this.#position % 4
    if (lane === 0) this.#block = philox([...halves(this.#position / 4), ...this.#stream], this.#key)
    this.#position++
    return this.#block[lane] as number
  }

  /** Uniform in 0..limit-1 without bias (Lemire 2019); 1 <= limit < 2^32. */
  below(limit: number): number {
    const threshold = (2 ** 32 - limit) % limit
    for (;;) {
      const [high, low] = multiply(this.word(), limit)
      if (low >= threshold) return high
    }
  }

  /** Puts `items` in one of their n! orders, each equally likely (Fisher and Yates, from the last to the first). */
  shuffle<T extends { [index: number]: number; readonly length: number }>(items: T): T {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.below(last + 1)
      const held = items[last] as number
      items[last] = items[other] as number
      items[other] = held
    }
    return items
  }
}

/** The numbers 0..length-1 in a random order that depends on (seed, epoch) alone. */
export function permutation(length: number, seed: number, epoch = 0): Uint32Array {
  return Philox.derived(seed, 0, epoch, orderDomain).shuffle(Uint32Array.from({ length }, (_, i) => i))
}

/**
 * The numbers of consecutive blocks (rows of files) in a random order that a reader of whole blocks serves well: blocks in
 * random order, and within windows of as many blocks as hold at most `window` numbers (one at least) any order.
 */
export function blockPermutation(lengths: ArrayLike<number>, window: number, seed: number, epoch = 0): Uint32Array {
  const starts = new Float64Array(lengths.length + 1)
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = (starts[i] as number) + (lengths[i] as number)
  const blocks = Uint32Array.from({ length: lengths.length }, (_, i) => i)
  Philox.derived(seed, 1, epoch, orderDomain).shuffle(blocks)
  const order = new Uint32Array(starts[lengths.length] as number)
  let [begin, end, number] = [0, 0, 2]
  for (const block of blocks) {
    const length = lengths[block] as number
    if (end > begin && end - begin + length > window) {
      Philox.derived(seed, number++, epoch, orderDomain).shuffle(order.subarray(begin, end))
      begin = end
    }
    for (let i = 0; i < length; i++) order[end++] = (starts[block] as number) + i
  }
  Philox.derived(seed, number, epoch, orderDomain).shuffle(order.subarray(begin, end))
  return order
}

// Where augmentation uses the view's number: orders never share a sequence with the augmentation of sample 0.
const orderDomain = 0xffff_ffff

/** Ten rounds on a 128-bit counter under a 64-bit key. */
export function philox(counter: readonly number[], key: Halves): [number, number, number, number] {
  let [c0 = 0, c1 = 0, c2 = 0, c3 = 0] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd251_1f53, c0)
    const [high1, low1] = multiply(0xcd9e_8d57, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + 0x9e37_79b9) >>> 0
    k1 = (k1 + 0xbb67_ae85) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** The 64-bit product of two 32-bit words, as [upper, lower] half. */
function multiply(a: number, b: number): [number, number] {
  // Both partial products stay below 2^49: exact in a double.
  const upper = (a >>> 16) * b + Math.floor(((a & 0xffff) * b) / 65536)
  return [Math.floor(upper / 65536), Math.imul(a, b) >>> 0]
}

/** A whole number below 2^53 as [low, high] 32-bit words. */
function halves(value: number): Halves {
  return [value >>> 0, Math.floor(value / 2 ** 32) >>> 0]
}
