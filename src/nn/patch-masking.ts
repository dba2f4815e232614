/** Which patches of a grid an encoder sees, at random, in blocks, or one region; and masks of hidden ones. It holds no tokens. */
import { argumentInvalid } from '../errors.js'
import { defaultGenerator, type Generator, tensor, type Tensor } from '../tensor/index.js'
import type { Masking } from './masked-encoder.js'

export interface PatchMaskingOptions {
  /** Share of the patches that are hidden, from 0 to below 1; their number is rounded down. */
  maskRatio?: number
  /** Side of the squares that are hidden at once, in patches; 1: each patch for itself. */
  blockSize?: number
  /** Probability that one connected region stays visible, instead of scattered patches. */
  cropRatio?: number
  /** Range of height / width of that region. */
  cropAspectRatio?: readonly [number, number]
  generator?: Generator | undefined
}

/**
 * Draws the visible patches of each sample, in random order: int64 [batch, patches − ⌊patches · maskRatio⌋]
 * (He et al. 2022, arXiv:2111.06377, for single patches).
 *
 * @throws ERR_ARGUMENT for a ratio or a size out of range.
 */
export function patchMasking(options: PatchMaskingOptions = {}): Masking {
  const { maskRatio = 0.75, blockSize = 1, cropRatio = 0, cropAspectRatio = [0.75, 1.33] } = options
  const { generator = defaultGenerator } = options
  if (!(maskRatio >= 0 && maskRatio < 1)) throw argumentInvalid('patchMasking: maskRatio', '0 to below 1', maskRatio)
  if (!(cropRatio >= 0 && cropRatio <= 1)) throw argumentInvalid('patchMasking: cropRatio', 'a probability', cropRatio)
  if (!(Number.isInteger(blockSize) && blockSize > 0)) {
    throw argumentInvalid('patchMasking: blockSize', 'a whole number above 0', blockSize)
  }
  checkRange('patchMasking: cropAspectRatio', cropAspectRatio)
  return (batch, [rows, columns]) => {
    const patches = rows * columns
    const keep = patches - Math.floor(patches * maskRatio)
    const sample = (): number[] => {
      const order = generator.permutation(patches)
      const crop = cropRatio > 0 && generator.uniform() < cropRatio
      if (!crop && blockSize === 1) return order.slice(0, keep)
      const grid = new Grid(rows, columns, generator)
      if (crop) grid.showRegion(keep, cropAspectRatio)
      else grid.hideSquares(patches - keep, blockSize)
      return order.filter((place) => grid.visible[place] === 1)
    }
    return indices(Array.from({ length: batch }, sample), keep)
  }
}

export interface RandomMaskOptions {
  /** Share of the patches that are hidden, from 0 to below 1; their number is rounded. */
  maskRatio?: number
  /** Side of the squares that are hidden at once, in patches; the grid is cut into such squares. */
  unit?: number
  generator?: Generator | undefined
}

/**
 * A mask for each sample, float32 [batch, patches], 1 where a patch is hidden, and the places of the hidden ones, ascending,
 * int64 [batch, hidden]: squares of `unit` patches a side drawn at random (Xie et al. 2022, SimMIM, arXiv:2111.09886,
 * section 4.1.2).
 *
 * @throws ERR_ARGUMENT for a ratio out of range, and for a unit that does not divide the grid.
 */
export function randomMask(
  batch: number,
  [rows, columns]: readonly [number, number],
  { maskRatio = 0.6, unit = 1, generator = defaultGenerator }: RandomMaskOptions = {},
): { mask: Tensor; hidden: Tensor } {
  if (!(maskRatio >= 0 && maskRatio < 1)) throw argumentInvalid('randomMask: maskRatio', '0 to below 1', maskRatio)
  if (!(Number.isInteger(unit) && unit > 0 && rows % unit === 0 && columns % unit === 0)) {
    throw argumentInvalid('randomMask: unit', `a divisor of the grid of ${rows}×${columns} patches`, unit)
  }
  const across = columns / unit
  const units = (rows / unit) * across
  const hide = Math.round(units * maskRatio)
  const mask = new Float32Array(batch * rows * columns)
  const samples = Array.from({ length: batch }, (_, sample) => {
    const own = mask.subarray(sample * rows * columns, (sample + 1) * rows * columns)
    for (const place of generator.permutation(units).slice(0, hide)) {
      const corner = Math.floor(place / across) * unit * columns + (place % across) * unit
      for (let row = 0; row < unit; row += 1) own.fill(1, corner + row * columns, corner + row * columns + unit)
    }
    return [...own.keys()].filter((place) => own[place] === 1)
  })
  return { mask: tensor(mask, { shape: [batch, rows * columns] }), hidden: indices(samples, hide * unit * unit) }
}

/** int64 [lists, length] */
export function indices(lists: readonly number[][], length: number): Tensor {
  return tensor(BigInt64Array.from(lists.flat(), BigInt), { shape: [lists.length, length] })
}

/** Height and width, in patches, of a block of about `area` patches with a ratio drawn evenly on a log scale. */
export function drawBlock(
  [rows, columns]: readonly [number, number],
  area: number,
  [low, high]: readonly [number, number],
  generator: Generator,
): { top: number; left: number; height: number; width: number } {
  const ratio = Math.exp(Math.log(low) + generator.uniform() * (Math.log(high) - Math.log(low)))
  const fit = (size: number, most: number) => Math.min(most, Math.max(1, Math.round(size)))
  const height = fit(Math.sqrt(area * ratio), rows)
  const width = fit(Math.sqrt(area / ratio), columns)
  return { top: generator.integer(rows - height + 1), left: generator.integer(columns - width + 1), height, width }
}

/** @throws ERR_ARGUMENT unless 0 < low ≤ high. */
export function checkRange(name: string, range: readonly [number, number], high = Infinity): void {
  if (range[0] > 0 && range[0] <= range[1] && range[1] <= high) return
  throw argumentInvalid(name, `[low, high] with 0 < low ≤ high${high < Infinity ? ` ≤ ${high}` : ''}`, range)
}

/** Visible (1) and hidden (0) patches of one sample. */
class Grid {
  readonly visible: Uint8Array
  readonly rows: number
  readonly columns: number
  readonly generator: Generator

  constructor(rows: number, columns: number, generator: Generator) {
    this.visible = new Uint8Array(rows * columns)
    this.rows = rows
    this.columns = columns
    this.generator = generator
  }

  /** A rectangle, whose border then grows or shrinks patch by patch until it has `keep` patches. */
  showRegion(keep: number, ratio: readonly [number, number]): void {
    const { top, left, height, width } = drawBlock([this.rows, this.columns], keep, ratio, this.generator)
    for (let place = 0; place < this.visible.length; place += 1) {
      const [row, column] = [Math.floor(place / this.columns) - top, (place % this.columns) - left]
      this.visible[place] = Number(row >= 0 && row < height && column >= 0 && column < width)
    }
    for (let excess = this.count() - keep; excess > 0; excess -= 1) this.turn(this.loosest(1), 1, 0)
    for (let lack = keep - this.count(); lack > 0; lack -= 1) this.turn(this.loosest(0), 1, 1)
  }

  /** The visible patches (1) with the fewest visible neighbours, or the hidden ones (0) with the most: the region stays whole. */
  private loosest(value: number): number[] {
    const places = this.places((place) => this.visible[place] === value)
    const order = places.map((place) => this.neighbours(place) * (value === 1 ? 1 : -1))
    const least = Math.min(...order)
    return places.filter((_, index) => order[index] === least)
  }

  /** Squares around random patches, cut at the edges; then single patches until exactly `hide` are hidden. */
  hideSquares(hide: number, side: number): void {
    this.visible.fill(1)
    while (this.visible.length - this.count() < hide) {
      const centre = this.generator.integer(this.visible.length)
      const [top, left] = [Math.floor(centre / this.columns), centre % this.columns].map(
        (at) => at - Math.floor(side / 2),
      )
      for (let row = Math.max(0, top ?? 0); row < Math.min(this.rows, (top ?? 0) + side); row += 1) {
        for (let column = Math.max(0, left ?? 0); column < Math.min(this.columns, (left ?? 0) + side); column += 1) {
          this.visible[row * this.columns + column] = 0
        }
      }
    }
    const excess = this.visible.length - this.count() - hide
    this.turn(
      this.places((place) => this.visible[place] === 0),
      excess,
      1,
    )
  }

  private turn(candidates: number[], count: number, value: number): void {
    for (const at of this.generator.permutation(candidates.length).slice(0, count)) {
      this.visible[candidates[at] ?? 0] = value
    }
  }

  private count(): number {
    return this.visible.reduce((sum, value) => sum + value, 0)
  }

  private places(wanted: (place: number) => boolean): number[] {
    return Array.from(this.visible.keys()).filter(wanted)
  }

  /** How many of the patches above, below, left and right are visible. */
  private neighbours(place: number): number {
    const column = place % this.columns
    const sides = [place - this.columns, place + this.columns]
    if (column > 0) sides.push(place - 1)
    if (column < this.columns - 1) sides.push(place + 1)
    return sides.filter((side) => this.visible[side] === 1).length
  }
}
