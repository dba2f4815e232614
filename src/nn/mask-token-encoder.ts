/** A vision transformer that sees a learned token in the place of some patches, as SimMIM, data2vec, iBOT and DINOv2 use it. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { type Tensor, zeros } from '../tensor/index.js'
import { truncNormal_ } from './init.js'
import { Module, parameter } from './module.js'
import type { VisionTransformer } from './vision-transformer.js'

export interface MaskTokenCall {
  /** [batch, patches], 1 where the mask token stands in; none by default. */
  mask?: Tensor | null | undefined
  /** Also the mean over the outputs of so many last blocks. */
  lastBlocks?: number
}

export interface TokenEncoding {
  /** [batch, dim], pooled as the network does by itself. */
  embedding: Tensor
  /** [batch, patches, dim], normalised. */
  patches: Tensor
  /** [batch, dim]: their mean. */
  mean: Tensor
  /** [batch, patches, dim]: the mean over blocks that was asked for, not normalised. */
  blocks?: Tensor
}

/** Positions are added after patches are replaced, so that the network knows where it sees nothing. */
export class MaskTokenEncoder extends Module<TokenEncoding> {
  /** [1, 1, dim] */
  maskToken: Tensor
  vit: VisionTransformer

  constructor(vit: VisionTransformer) {
    super()
    this.maskToken = truncNormal_(parameter(zeros([1, 1, vit.dim])), { std: 0.02 })
    this.vit = vit
  }

  get dim(): number {
    return this.vit.dim
  }

  forward(images: Tensor, { mask, lastBlocks = 0 }: MaskTokenCall = {}): TokenEncoding {
    const { vit } = this
    const [, , height = 0, width = 0] = images.shape
    const [rows, columns] = vit.patchEmbed.grid(height, width)
    if (mask && mask.shape.join() !== [images.shape[0], rows * columns].join()) {
      throw shapeMismatch('MaskTokenEncoder: mask', `[${images.shape[0]}, ${rows * columns}]`, mask.shape)
    }
    if (lastBlocks > vit.blocks.length) {
      throw argumentInvalid('MaskTokenEncoder: lastBlocks', `at most ${vit.blocks.length}`, lastBlocks)
    }
    const { patches, gridSize } = vit.embed(images, mask ? { mask, token: this.maskToken } : null)
    const outputs = vit.forwardBlocks(patches, { gridSize })
    const tokens = vit.norm.forward(outputs.at(-1) as Tensor)
    const encoding = {
      embedding: vit.forwardHead(tokens),
      patches: vit.patchesOf(tokens),
      mean: vit.meanOfPatches(tokens),
    }
    if (lastBlocks === 0) return encoding
    const last = outputs.slice(-lastBlocks).map((output) => vit.patchesOf(output))
    return { ...encoding, blocks: last.reduce((sum, output) => sum.add(output)).div(lastBlocks) }
  }
}
