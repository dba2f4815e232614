/** Rotary position embeddings over one and two axes (Su et al. 2021, arXiv:2104.09864). They have no parameters. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { arange, cat, noGrad, stack, tensor, type Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** Turns each adjacent pair (x₂ᵢ, x₂ᵢ₊₁) of [..., tokens, headDim] by an angle of the token's position; angles [tokens, headDim / 2]. */
export function applyRotaryEmb(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const pairs = x.reshape([...x.shape.slice(0, -1), (x.shape.at(-1) ?? 0) / 2, 2])
  const [even, odd] = [pairs.select(-1, 0), pairs.select(-1, 1)]
  return stack([even.mul(cos).sub(odd.mul(sin)), even.mul(sin).add(odd.mul(cos))], -1).flatten(-2)
}

/** Positions 0, 1, 2 … of a sequence; pair i turns by position · base^(−2i/headDim). */
export class RotaryPositionEmbedding1D extends Module {
  /** [headDim / 2] */
  invFreq: Tensor

  constructor(headDim: number, { base = 10000 } = {}) {
    super()
    if (headDim % 2 !== 0) throw argumentInvalid('rotary embedding: headDim', 'an even number', headDim)
    this.invFreq = this.registerBuffer('invFreq', frequencies(headDim, base))
  }

  /** [..., tokens, headDim] to the same shape. */
  forward(x: Tensor): Tensor {
    const angles = noGrad(() => outer(x.shape.at(-2) ?? 0, this.invFreq))
    return applyRotaryEmb(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))
  }
}

/**
 * Positions of a grid, row by row. The columns of the table are all vertical angles, these again, all horizontal angles,
 * these again, and pair i takes column 2i, as stable-pretraining has it: with more than one frequency an axis, half of them
 * serve two pairs and half none.
 */
export class RotaryPositionEmbedding2D extends Module {
  /** [headDim / 4] */
  invFreq: Tensor

  constructor(headDim: number, { base = 10000 } = {}) {
    super()
    if (headDim % 4 !== 0) throw argumentInvalid('rotary embedding: headDim', 'a multiple of 4', headDim)
    this.invFreq = this.registerBuffer('invFreq', frequencies(headDim / 2, base))
  }

  /** [..., rows · columns, headDim] to the same shape. */
  forward(x: Tensor, gridSize: readonly [number, number]): Tensor {
    const [rows, columns] = gridSize
    if (x.shape.at(-2) !== rows * columns) {
      throw shapeMismatch('rotary embedding', `${rows}×${columns} = ${rows * columns} tokens`, x.shape)
    }
    const angles = noGrad(() => {
      const quarter = this.invFreq.numel
      const vertical = outer(rows, this.invFreq).unsqueeze(1).expand([rows, columns, quarter])
      const horizontal = outer(columns, this.invFreq).unsqueeze(0).expand([rows, columns, quarter])
      const table = cat([vertical, vertical, horizontal, horizontal], -1).reshape([rows * columns, 4 * quarter])
      return table.narrow(-1, 0, 2 * quarter, 2)
    })
    return applyRotaryEmb(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))
  }
}

export type RotaryPositionEmbedding = RotaryPositionEmbedding1D | RotaryPositionEmbedding2D

/** base^(−2i/dim), [dim / 2] */
function frequencies(dim: number, base: number): Tensor {
  return tensor(
    Float64Array.from({ length: dim / 2 }, (_, i) => base ** ((-2 * i) / dim)),
    { dtype: 'float32' },
  )
}

/** position · frequency, [count, frequencies] */
function outer(count: number, invFreq: Tensor): Tensor {
  return arange(count).to(invFreq.dtype).unsqueeze(1).mul(invFreq.unsqueeze(0))
}
