/** Tables of position: sines and cosines over one and two axes and over time, and learned ones for another grid. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { cat, tensor, type Tensor } from '../tensor/index.js'
import { pair, type Size2d } from './convolution.js'

export interface SincosOptions {
  /** Put a row of zeros first, for a class token. */
  clsToken?: boolean
}

/**
 * Positions 0 … length − 1 (Vaswani et al. 2017, section 3.5): column 2i is sin(p / 10000^(2i/dim)), column 2i + 1 its
 * cosine. [length, dim], one row more with `clsToken`.
 */
export function get1dSincosPosEmbed(
  embedDim: number,
  length: number,
  { clsToken = false }: SincosOptions = {},
): Tensor {
  const table = new Float32Array(length * embedDim)
  for (let position = 0; position < length; position += 1) {
    for (let column = 0; column < embedDim; column += 1) {
      const even = column - (column % 2)
      const angle = position / 10000 ** (even / embedDim)
      table[position * embedDim + column] = column === even ? Math.sin(angle) : Math.cos(angle)
    }
  }
  return asTable(table, embedDim, clsToken)
}

/**
 * Positions of a grid, row by row: a quarter of the columns each for sin y, cos y, sin x, cos x, with frequencies
 * 10000^(−4i/dim). [rows · columns, dim], one row more with `clsToken`.
 *
 * @throws ERR_ARGUMENT when dim is not a multiple of 4.
 */
export function get2dSincosPosEmbed(
  embedDim: number,
  gridSize: Size2d,
  { clsToken = false }: SincosOptions = {},
): Tensor {
  if (embedDim % 4 !== 0) throw argumentInvalid('get2dSincosPosEmbed: embedDim', 'a multiple of 4', embedDim)
  const [rows, columns] = pair(gridSize)
  const quarter = embedDim / 4
  const table = new Float32Array(rows * columns * embedDim)
  for (let place = 0; place < rows * columns; place += 1) {
    const [y, x] = [Math.floor(place / columns), place % columns]
    for (let i = 0; i < quarter; i += 1) {
      const frequency = 10000 ** (-i / quarter)
      const values = [
        Math.sin(y * frequency),
        Math.cos(y * frequency),
        Math.sin(x * frequency),
        Math.cos(x * frequency),
      ]
      for (const [part, value] of values.entries()) table[place * embedDim + part * quarter + i] = value
    }
  }
  return asTable(table, embedDim, clsToken)
}

export interface InterpolationOptions {
  /** Rows before the grid's, which stay as they are. */
  numPrefixTokens?: number
  mode?: 'bicubic' | 'bilinear'
  /** Low-pass filter when the grid shrinks. */
  antialias?: boolean
}

/**
 * A table [1, prefix + rows · columns, dim] for another grid, by interpolation between the places of the old one.
 *
 * @throws ERR_SHAPE when the table is not of that many rows.
 */
export function interpolatePosEmbed(
  posEmbed: Tensor,
  srcSize: readonly [number, number],
  tgtSize: readonly [number, number],
  { numPrefixTokens = 0, mode = 'bicubic', antialias = false }: InterpolationOptions = {},
): Tensor {
  const [, rows = 0, dim = 0] = posEmbed.shape
  const places = srcSize[0] * srcSize[1]
  if (posEmbed.ndim !== 3 || rows !== numPrefixTokens + places) {
    const expected = `[1, ${numPrefixTokens} + ${srcSize.join('·')}, dim]`
    throw shapeMismatch('interpolatePosEmbed', expected, posEmbed.shape)
  }
  if (srcSize.join() === tgtSize.join()) return posEmbed
  const [prefix, grid] = posEmbed.split([numPrefixTokens, places], 1) as [Tensor, Tensor]
  const image = grid.reshape([1, ...srcSize, dim]).permute([0, 3, 1, 2])
  const resized = image.interpolate({ size: [...tgtSize], mode, alignCorners: false, antialias })
  const table = resized.permute([0, 2, 3, 1]).reshape([1, tgtSize[0] * tgtSize[1], dim])
  return numPrefixTokens > 0 ? cat([prefix, table], 1) : table
}

/** Times t [batch] to [batch, dim]: cosines, then sines of t · maxPeriod^(−i/⌊dim/2⌋); an odd last column is 0. */
export function getTimestepEmbed(t: Tensor, dim: number, { maxPeriod = 10000 } = {}): Tensor {
  if (t.ndim !== 1) throw shapeMismatch('getTimestepEmbed: t', '[batch]', t.shape)
  const half = Math.floor(dim / 2)
  const frequencies = Float64Array.from({ length: half }, (_, i) => maxPeriod ** (-i / half))
  const angles = t
    .unsqueeze(1)
    .mul(tensor(frequencies, { shape: [1, half], dtype: t.dtype === 'float64' ? 'float64' : 'float32' }))
  const table = cat([angles.cos(), angles.sin()], 1)
  return dim % 2 === 0 ? table : table.pad([0, 1])
}

function asTable(values: Float32Array, embedDim: number, clsToken: boolean): Tensor {
  const table = tensor(values, { shape: [values.length / Math.max(1, embedDim), embedDim] })
  return clsToken ? table.pad([0, 0, 1, 0]) : table
}
