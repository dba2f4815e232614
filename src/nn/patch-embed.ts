/** Images cut into patches, each a token: the stem of vision transformers. */
import { SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { Conv2d, pair, type Size2d } from './convolution.js'
import { Module } from './module.js'

export interface PatchEmbedOptions {
  /** Image size that position tables are made for: one number, or [height, width]. */
  imgSize?: Size2d
  patchSize?: Size2d
  inChans?: number
  embedDim?: number
  bias?: boolean
  /** Refuse images of another size than `imgSize`. */
  strictImgSize?: boolean
}

/** One linear map of each patch: [batch, inChans, height, width] to [batch, patches, embedDim], row by row. */
export class PatchEmbed extends Module {
  readonly imgSize: [number, number]
  readonly patchSize: [number, number]
  /** Patches of an image of `imgSize`: [rows, columns]. */
  readonly defaultGrid: [number, number]
  strictImgSize: boolean
  proj: Conv2d

  constructor({
    imgSize = 224,
    patchSize = 16,
    inChans = 3,
    embedDim = 768,
    bias = true,
    strictImgSize = true,
  }: PatchEmbedOptions = {}) {
    super()
    this.imgSize = pair(imgSize)
    this.patchSize = pair(patchSize)
    this.strictImgSize = strictImgSize
    this.proj = new Conv2d(inChans, embedDim, this.patchSize, { stride: this.patchSize, bias })
    this.defaultGrid = this.grid(...this.imgSize)
  }

  /** Patches of an image: [rows, columns]. @throws ERR_SHAPE when the patches do not fill it. */
  grid(height: number, width: number): [number, number] {
    const [rows, columns] = [height / this.patchSize[0], width / this.patchSize[1]]
    if (Number.isInteger(rows) && Number.isInteger(columns)) return [rows, columns]
    const [image, patch] = [`${height}×${width}`, this.patchSize.join('×')]
    throw new SptError('ERR_SHAPE', `an image of ${image} does not divide into patches of ${patch}`, {
      hint: 'Choose a patchSize that divides the image, or resize the images to a multiple of it.',
    })
  }

  forward(images: Tensor): Tensor {
    const [, , height = 0, width = 0] = images.shape
    if (images.ndim !== 4) {
      throw new SptError(
        'ERR_SHAPE',
        `PatchEmbed takes [batch, channels, height, width], got [${images.shape.join(', ')}]`,
      )
    }
    if (this.strictImgSize && (height !== this.imgSize[0] || width !== this.imgSize[1])) {
      throw new SptError(
        'ERR_SHAPE',
        `images of ${height}×${width}, but this network is made for ${this.imgSize.join('×')}`,
        {
          hint: 'Resize the images, set imgSize, or set dynamicImgSize so that position embeddings are interpolated.',
        },
      )
    }
    this.grid(height, width)
    return this.proj.forward(images).flatten(2).transpose(1, 2)
  }
}
