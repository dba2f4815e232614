/** Target blocks to be predicted and the context they are predicted from (Assran et al. 2023, arXiv:2301.08243). */
import { argumentInvalid } from '../errors.js'
import { defaultGenerator, type Generator, tensor, type Tensor } from '../tensor/index.js'
import { checkRange, drawBlock, indices } from './patch-masking.js'

export interface BlockMaskingOptions {
  numTargets?: number
  /** Range of a target's share of the grid. */
  targetScale?: readonly [number, number]
  /** Range of a target's height / width, drawn evenly on a log scale. */
  targetAspectRatio?: readonly [number, number]
  /** Range of the context's share: of the patches outside the targets, or of the grid for a block. */
  contextScale?: readonly [number, number]
  generator?: Generator | undefined
}

export interface BlockMasks {
  /** Visible patches, ascending: int64 [batch, n] */
  contextIdx: Tensor
  /** Patches of any target, ascending: int64 [batch, m] */
  targetIdx: Tensor
  /** bool [numTargets, patches]; a target for which there was no room is empty. */
  targetBlockMasks: Tensor
  /** bool [batch, patches], true where the context does not see */
  mask: Tensor
}

/** Draws masks for a batch of images of that grid. */
export type BlockMasking = (batch: number, gridSize: readonly [number, number]) => BlockMasks

/**
 * Targets that the whole batch shares, and for each sample a random part of the other patches as its context, as
 * stable-pretraining has it (the paper takes one large block). Targets do not overlap unless they may.
 */
export function ijepaMasking({
  allowTargetOverlap = false,
  ...options
}: BlockMaskingOptions & { allowTargetOverlap?: boolean } = {}): BlockMasking {
  const { contextScale, generator, ...rest } = checked('ijepaMasking', options)
  return (batch, gridSize) => {
    const { blocks, isTarget } = drawTargets(gridSize, { ...rest, generator }, allowTargetOverlap)
    const outside = [...isTarget.keys()].filter((place) => isTarget[place] === 0)
    const share = contextScale[0] + generator.uniform() * (contextScale[1] - contextScale[0])
    const count = Math.min(outside.length, Math.max(1, Math.floor(outside.length * share)))
    const contexts = Array.from({ length: batch }, () =>
      generator
        .permutation(outside.length)
        .slice(0, count)
        .map((at) => outside[at] ?? 0)
        .toSorted((a, b) => a - b),
    )
    return masks(contexts, blocks, isTarget)
  }
}

/**
 * One context block without the targets, which may overlap; the whole batch shares all of it. Blocks are drawn again where
 * the targets would leave nothing of the context.
 */
export function multiBlockMasking({
  contextAspectRatio = [1, 1],
  ...options
}: BlockMaskingOptions & { contextAspectRatio?: readonly [number, number] } = {}): BlockMasking {
  const { contextScale, generator, ...rest } = checked('multiBlockMasking', options)
  checkRange('multiBlockMasking: contextAspectRatio', contextAspectRatio)
  return (batch, gridSize) => {
    const patches = gridSize[0] * gridSize[1]
    const share = contextScale[0] + generator.uniform() * (contextScale[1] - contextScale[0])
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const context = placesOf(gridSize, drawBlock(gridSize, share * patches, contextAspectRatio, generator))
      const { blocks, isTarget } = drawTargets(gridSize, { ...rest, generator }, true)
      const visible = context.filter((place) => isTarget[place] === 0)
      if (visible.length > 0) return masks(Array<number[]>(batch).fill(visible), blocks, isTarget)
    }
    throw argumentInvalid('multiBlockMasking: targetScale', 'targets that leave something of the context', options)
  }
}

/** How often a place for a target is looked for. */
const tries = 100

function drawTargets(
  gridSize: readonly [number, number],
  { numTargets, targetScale, targetAspectRatio, generator }: Omit<ReturnType<typeof checked>, 'contextScale'>,
  overlap: boolean,
): { blocks: number[][]; isTarget: Uint8Array } {
  const patches = gridSize[0] * gridSize[1]
  const isTarget = new Uint8Array(patches)
  const blocks = Array.from({ length: numTargets }, () => {
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const share = targetScale[0] + generator.uniform() * (targetScale[1] - targetScale[0])
      const block = placesOf(gridSize, drawBlock(gridSize, share * patches, targetAspectRatio, generator))
      if (!overlap && block.some((place) => isTarget[place] === 1)) continue
      for (const place of block) isTarget[place] = 1
      return block
    }
    return []
  })
  return { blocks, isTarget }
}

function placesOf(
  [, columns]: readonly [number, number],
  { top, left, height, width }: ReturnType<typeof drawBlock>,
): number[] {
  return Array.from({ length: height * width }, (_, i) => (top + Math.floor(i / width)) * columns + left + (i % width))
}

function masks(contexts: number[][], blocks: number[][], isTarget: Uint8Array): BlockMasks {
  const patches = isTarget.length
  const targets = [...isTarget.keys()].filter((place) => isTarget[place] === 1)
  const blockMasks = new Uint8Array(blocks.length * patches)
  for (const [index, block] of blocks.entries()) for (const place of block) blockMasks[index * patches + place] = 1
  const hidden = new Uint8Array(contexts.length * patches).fill(1)
  for (const [index, context] of contexts.entries()) for (const place of context) hidden[index * patches + place] = 0
  return {
    contextIdx: indices(contexts, contexts[0]?.length ?? 0),
    targetIdx: indices(
      contexts.map(() => targets),
      targets.length,
    ),
    targetBlockMasks: tensor(blockMasks, { shape: [blocks.length, patches], dtype: 'bool' }),
    mask: tensor(hidden, { shape: [contexts.length, patches], dtype: 'bool' }),
  }
}

function checked(name: string, options: BlockMaskingOptions) {
  const { numTargets = 4, targetScale = [0.15, 0.2], targetAspectRatio = [0.75, 1.5] } = options
  const { contextScale = [0.85, 1], generator = defaultGenerator } = options
  if (!(Number.isInteger(numTargets) && numTargets > 0)) {
    throw argumentInvalid(`${name}: numTargets`, 'a whole number above 0', numTargets)
  }
  checkRange(`${name}: targetScale`, targetScale, 1)
  checkRange(`${name}: targetAspectRatio`, targetAspectRatio)
  checkRange(`${name}: contextScale`, contextScale, 1)
  return { numTargets, targetScale, targetAspectRatio, contextScale, generator }
}
