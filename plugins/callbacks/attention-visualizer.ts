/**
 * Where the class token of a vision transformer looks: its attention to the patches, over the images, once a validation
 * (as in Caron et al. 2021, arXiv:2104.14294, figure 1).
 */
import { defineCallback, nn, noGrad, SptError, valueOf, writeFileAtomically, z } from 'stable-pretraining'
import type { BatchEvent, Callback, Tensor, Trainer } from 'stable-pretraining'
import { enlarged, gridOf, picturePath, sheet, stretched, type Rgb } from './pictures/sheet.js'

export interface AttentionVisualizerOptions {
  name: string
  /** Qualified name of an attention layer, such as `backbone.blocks.11.attn`. */
  layer: string
  image?: string
  numPrefixTokens?: number
  gridSize?: readonly [number, number] | undefined
  /** The patches that get this share of the attention, the strongest first, are marked. */
  threshold?: number
  maxImages?: number
  everyNEpochs?: number
}

export class AttentionVisualizer implements Callback {
  readonly name: string
  readonly #options: Required<Omit<AttentionVisualizerOptions, 'gridSize'>> &
    Pick<AttentionVisualizerOptions, 'gridSize'>
  #attention: Tensor | undefined
  #remove: (() => void) | undefined

  constructor(options: AttentionVisualizerOptions) {
    this.name = options.name
    const defaults = { image: 'image', numPrefixTokens: 1, threshold: 0.6, maxImages: 8, everyNEpochs: 1 }
    this.#options = { ...defaults, ...options }
  }

  setup(trainer: Trainer): void {
    const layer = trainer.module.getSubmodule(this.#options.layer)
    if (layer instanceof nn.Attention) return
    throw new SptError(
      'ERR_ARGUMENT',
      `${this.name}: "${this.#options.layer}" is a ${layer.constructor.name}, not an Attention`,
      {
        hint: 'Name the attention of a block, such as backbone.blocks.11.attn; `spt summary` lists the layers.',
      },
    )
  }

  onValidationStart(trainer: Trainer): void {
    const due = (trainer.currentEpoch + 1) % this.#options.everyNEpochs === 0
    if (!due || trainer.sanityChecking || trainer.runDirectory === undefined) return
    const layer = trainer.module.getSubmodule(this.#options.layer) as nn.Attention
    this.#remove = layer.registerForwardHook(([x]) => {
      // Of the first forward of the validation, its first images.
      const tokens = x as Tensor
      const count = Math.min(this.#options.maxImages, tokens.shape[0]!)
      this.#attention ??= noGrad(() => layer.weights(tokens.narrow(0, 0, count), { queries: 1 }).select(2, 0)).keep()
    })
  }

  async onValidationBatchEnd({ trainer, outputs, batch, batchIdx }: BatchEvent): Promise<void> {
    this.#remove?.()
    this.#remove = undefined
    const attention = this.#attention // [images, heads, tokens]
    if (batchIdx > 0 || attention === undefined) return
    this.#attention = undefined
    const { image, numPrefixTokens, gridSize, threshold } = this.#options
    const [count, , tokens] = attention.shape as [number, number, number]
    const grid = gridOf(tokens - numPrefixTokens, gridSize)
    const pixels = valueOf(image, outputs, batch, this.name).narrow(0, 0, count)
    const [, channels, height, width] = pixels.shape as [number, number, number, number]
    const patches = attention.narrow(2, numPrefixTokens, tokens - numPrefixTokens).mean(1) // over heads
    const values = (await patches.contiguous().data()) as Float32Array
    const images = (await pixels.contiguous().data()) as Float32Array
    const rows = Array.from({ length: count }, (_, i) => {
      const size = channels * height * width
      const own = stretched({ height, width, values: images.subarray(i * size, (i + 1) * size) })
      const weights = values.subarray(i * grid[0] * grid[1], (i + 1) * grid[0] * grid[1])
      return [own, heat(weights, grid, height, width), marked(own, strongest(weights, threshold), grid)]
    })
    attention.dispose()
    await writeFileAtomically(`${await picturePath(trainer, this.name)}.png`, sheet(rows))
  }
}

/** Weak attention dark, strong attention yellow. */
function heat(weights: Float32Array, [rows, columns]: [number, number], height: number, width: number): Rgb {
  const [low, high] = [Math.min(...weights), Math.max(...weights)]
  const values = new Float32Array(3 * weights.length)
  for (const [patch, weight] of weights.entries()) {
    const level = (weight - low) / Math.max(high - low, 1e-12)
    values[patch] = Math.min(1, 2 * level)
    values[weights.length + patch] = Math.max(0, 1.6 * level - 0.6)
    values[2 * weights.length + patch] = Math.max(0, 0.4 - Math.abs(level - 0.3))
  }
  return enlarged({ height: rows, width: columns, values }, height, width)
}

/** The fewest patches that together get `share` of the attention; one at least. */
function strongest(weights: Float32Array, share: number): Set<number> {
  const order = [...weights.keys()].toSorted((a, b) => weights[b]! - weights[a]!)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const chosen = new Set<number>()
  let sum = 0
  for (const patch of order) {
    if (chosen.size > 0 && sum + weights[patch]! > share * total) break
    chosen.add(patch)
    sum += weights[patch]!
  }
  return chosen
}

/** The picture with the chosen patches in red. */
function marked({ height, width, values }: Rgb, chosen: Set<number>, [rows, columns]: [number, number]): Rgb {
  const out = Float32Array.from(values)
  const colour = [1, 0.15, 0.15]
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!chosen.has(Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width))) continue
      for (let c = 0; c < 3; c++)
        out[(c * height + y) * width + x] = 0.55 * out[(c * height + y) * width + x]! + 0.45 * colour[c]!
    }
  }
  return { height, width, values: out }
}

export default defineCallback({
  name: 'attention-visualizer',
  aliases: ['AttentionVisualizer'],
  targets: ['stable_pretraining.callbacks.AttentionVisualizer'],
  description: 'Where the class token looks, over the images; a PNG a validation.',
  paper: 'Caron et al. 2021, arXiv:2104.14294',
  config: z.object({
    name: z.string().min(1).default('attention').describe('folder of its pictures, in pictures/ of the run'),
    layer: z.string().min(1).default('backbone.blocks.11.attn').describe('attention layer that is looked at'),
    image: z.string().default('image').describe('key of the images'),
    numPrefixTokens: z.int().min(1).default(1).describe('class and register tokens before the patches'),
    gridSize: z
      .tuple([z.int().positive(), z.int().positive()])
      .optional()
      .describe('rows and columns of patches; a square where absent'),
    threshold: z.number().min(0).max(1).default(0.6).describe('share of the attention whose patches are marked'),
    maxImages: z.int().positive().default(8).describe('images of the first validation batch that are shown'),
    everyNEpochs: z.int().positive().default(1).describe('epochs between two pictures'),
  }),
  build: ({ config }) => new AttentionVisualizer(config),
})
