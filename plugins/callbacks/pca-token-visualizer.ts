/**
 * What patch tokens of a vision transformer tell apart: their first three principal components as red, green and blue,
 * beside the images, once a validation (as in Oquab et al. 2023, arXiv:2304.07193, figure 1).
 */
import { defineCallback, noGrad, scope, SptError, valueOf, writeFileAtomically, z } from 'stable-pretraining'
import type { BatchEvent, Callback, Tensor } from 'stable-pretraining'
import { enlarged, gridOf, picturePath, quantile, sheet, stretched, type Rgb } from './pictures/sheet.js'

export interface PCATokenVisualizerOptions {
  name: string
  /** Key of the tokens [batch, prefix + patches, dim], such as a layer of `embedding-cache`. */
  features: string
  image?: string
  /** Class and register tokens, which come before the patches. */
  numPrefixTokens?: number
  gridSize?: readonly [number, number] | undefined
  maxImages?: number
  everyNEpochs?: number
}

export class PCATokenVisualizer implements Callback {
  readonly name: string
  readonly #options: Required<Omit<PCATokenVisualizerOptions, 'gridSize'>> & Pick<PCATokenVisualizerOptions, 'gridSize'>

  constructor(options: PCATokenVisualizerOptions) {
    this.name = options.name
    this.#options = { image: 'image', numPrefixTokens: 1, maxImages: 8, everyNEpochs: 1, ...options }
  }

  async onValidationBatchEnd({ trainer, outputs, batch, batchIdx }: BatchEvent): Promise<void> {
    const { features, image, numPrefixTokens, gridSize, maxImages, everyNEpochs } = this.#options
    const due = (trainer.currentEpoch + 1) % everyNEpochs === 0
    if (batchIdx > 0 || !due || trainer.sanityChecking || trainer.runDirectory === undefined) return
    const tokens = valueOf(features, outputs, batch, this.name)
    if (tokens.ndim !== 3 || tokens.shape[1]! <= numPrefixTokens) {
      throw new SptError(
        'ERR_SHAPE',
        `${this.name}: expected tokens [batch, tokens, dim] under "${features}", got [${tokens.shape.join(', ')}]`,
        {
          hint: 'Name a layer of a vision transformer with embedding-cache, such as backbone.norm.',
        },
      )
    }
    const count = Math.min(maxImages, tokens.shape[0]!)
    const grid = gridOf(tokens.shape[1]! - numPrefixTokens, gridSize)
    const images = valueOf(image, outputs, batch, this.name).narrow(0, 0, count)
    const pictures = await scope(async () => {
      const patches = tokens.narrow(0, 0, count).narrow(1, numPrefixTokens, tokens.shape[1]! - numPrefixTokens)
      return picturesOf(await principalColours(patches), grid)
    })
    const [, channels, height, width] = images.shape as [number, number, number, number]
    const values = (await images.contiguous().data()) as Float32Array
    const rows = pictures.map((picture, i) => {
      const size = channels * height * width
      const own = stretched({ height, width, values: values.subarray(i * size, (i + 1) * size) })
      return [own, enlarged(picture, height, width)]
    })
    await writeFileAtomically(`${await picturePath(trainer, this.name)}.png`, sheet(rows))
  }
}

/** Patch tokens [images, patches, dim] at unit length to their first three components, each stretched to [0, 1]. */
async function principalColours(patches: Tensor): Promise<{ images: number; patches: number; values: Float32Array }> {
  const [images, count, dim] = patches.shape as [number, number, number]
  const components = noGrad(() => {
    const rows = patches
      .detach()
      .to('cpu')
      .to('float64')
      .reshape([images * count, dim])
      .normalize(2, 1)
    const centred = rows.sub(rows.mean([0], true))
    const [, vectors] = centred.t().matmul(centred).eigh() // eigenvalues rise
    const shown = Math.min(3, dim)
    return centred.matmul(vectors.narrow(1, dim - shown, shown).flip([1])) // [images * patches, 3]
  })
  const flat = (await components.contiguous().data()) as Float64Array
  const shown = components.shape[1]!
  const values = new Float32Array(images * count * 3)
  for (let channel = 0; channel < 3; channel++) {
    const column = Float64Array.from({ length: images * count }, (_, row) => flat[row * shown + (channel % shown)]!)
    const [low, high] = [quantile(column, 0.02), quantile(column, 0.98)]
    for (const [row, value] of column.entries()) values[row * 3 + channel] = (value - low) / Math.max(high - low, 1e-12)
  }
  return { images, patches: count, values }
}

function picturesOf(
  { images, patches, values }: Awaited<ReturnType<typeof principalColours>>,
  grid: [number, number],
): Rgb[] {
  const [height, width] = grid
  return Array.from({ length: images }, (_, image) => {
    const planes = new Float32Array(3 * patches)
    for (let patch = 0; patch < patches; patch++)
      for (let channel = 0; channel < 3; channel++)
        planes[channel * patches + patch] = values[(image * patches + patch) * 3 + channel]!
    return { height, width, values: planes }
  })
}

export default defineCallback({
  name: 'pca-token-visualizer',
  aliases: ['PCATokenVisualizer'],
  targets: ['stable_pretraining.callbacks.PCATokenVisualizer'],
  description: 'Patch tokens as colours beside the images, by their principal components; a PNG a validation.',
  paper: 'Oquab et al. 2023, arXiv:2304.07193',
  config: z.object({
    name: z.string().min(1).default('pca_tokens').describe('folder of its pictures, in pictures/ of the run'),
    features: z.string().default('backbone.norm').describe('key of the tokens, such as a layer of embedding-cache'),
    image: z.string().default('image').describe('key of the images'),
    numPrefixTokens: z.int().min(0).default(1).describe('class and register tokens before the patches'),
    gridSize: z
      .tuple([z.int().positive(), z.int().positive()])
      .optional()
      .describe('rows and columns of patches; a square where absent'),
    maxImages: z.int().positive().default(8).describe('images of the first validation batch that are shown'),
    everyNEpochs: z.int().positive().default(1).describe('epochs between two pictures'),
  }),
  build: ({ config }) => new PCATokenVisualizer(config),
})
