/** Blocks of patches of drawn sizes and places, one context first and then targets, as stable-pretraining's multi_block_mask. */
import { argumentInvalid } from '../errors.js'
import type { Generator } from '../tensor/index.js'
import { checkRange } from './patch-masking.js'

type Range = readonly [low: number, high: number]

/** How often blocks are drawn again whose context would be too small. */
const tries = 20

/**
 * Patches of each block, ascending; the first block, the context, without those of the others. One number decides both share and
 * height / width of a block; blocks of the same ranges have one size. The context is drawn again until it keeps `minKeep`.
 *
 * @throws ERR_ARGUMENT where ranges are missing or out of range.
 */
export function multiBlockMask(
  [rows, columns]: readonly [number, number],
  blockScales: readonly Range[],
  aspectRatios: readonly Range[],
  generator: Generator,
  minKeep = 1,
): number[][] {
  if (blockScales.length === 0 || blockScales.length !== aspectRatios.length) {
    throw argumentInvalid(
      'multiBlockMask: aspectRatios',
      `as many as blockScales, ${blockScales.length}`,
      aspectRatios.length,
    )
  }
  if (rows < 2 || columns < 2) throw argumentInvalid('multiBlockMask: grid', 'at least 2 x 2 patches', [rows, columns])
  for (const scale of blockScales) checkRange('multiBlockMask: blockScales', scale, 1)
  for (const ratio of aspectRatios) checkRange('multiBlockMask: aspectRatios', ratio)
  const between = ([low, high]: Range, at: number) => low + at * (high - low)
  const sizes = new Map<string, [height: number, width: number]>()
  for (const [i, scale] of blockScales.entries()) {
    const ratio = aspectRatios[i] as Range
    const key = [...scale, ...ratio].join()
    if (sizes.has(key)) continue
    const at = generator.uniform()
    const keep = Math.floor(rows * columns * between(scale, at))
    const side = (size: number, most: number) => Math.max(1, Math.min(most - 1, Math.round(size)))
    const aspect = between(ratio, at)
    sizes.set(key, [side(Math.sqrt(keep * aspect), rows), side(Math.sqrt(keep / aspect), columns)])
  }
  let blocks: number[][] = []
  for (let attempt = 0; attempt < tries; attempt += 1) {
    blocks = blockScales.map((scale, i) => {
      const [height, width] = sizes.get([...scale, ...(aspectRatios[i] as Range)].join()) as [number, number]
      const [top, left] = [generator.integer(rows - height + 1), generator.integer(columns - width + 1)]
      return Array.from(
        { length: height * width },
        (_, at) => (top + Math.floor(at / width)) * columns + left + (at % width),
      )
    })
    const taken = new Set(blocks.slice(1).flat())
    blocks[0] = (blocks[0] ?? []).filter((patch) => !taken.has(patch))
    if (blocks[0].length >= minKeep) break
  }
  return blocks
}
