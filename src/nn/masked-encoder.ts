/** A vision transformer that sees some of the patches only, as masked autoencoders and I-JEPA use it. */
import { shapeMismatch } from '../errors.js'
import { arange, onesLike, type Tensor } from '../tensor/index.js'
import { takeTokens } from './flexible-transformer.js'
import { Module } from './module.js'
import type { PatchEmbed } from './patch-embed.js'
import type { VisionTransformer } from './vision-transformer.js'

/** Chooses patches of a grid for each sample: places that stay visible, int64 [batch, n], in any order. */
export type Masking = (batch: number, gridSize: readonly [number, number]) => Tensor

export interface MaskedEncoding {
  /** [batch, prefix + visible, dim]; patches in the order of `idsKeep`. */
  encoded: Tensor
  /** [batch, dim], pooled as the network does by itself. */
  embedding: Tensor
  /** [batch, dim]: the mean of the patches that were seen. */
  mean: Tensor
  /** [batch, patches], 1 where a patch is hidden. */
  mask: Tensor
  /** int64 [batch, visible] */
  idsKeep: Tensor
  gridSize: [number, number]
}

/**
 * Positions are added before patches are left out; class and register tokens come after. Outside training every patch is
 * visible, whatever the masking says.
 */
export class MaskedEncoder extends Module<MaskedEncoding> {
  readonly masking: Masking | null
  vit: VisionTransformer
  /** The one of `vit`, under both names in the state dict, as in stable-pretraining. */
  patchEmbed: PatchEmbed

  constructor(vit: VisionTransformer, { masking = null }: { masking?: Masking | null } = {}) {
    super()
    this.masking = masking
    this.vit = vit
    this.patchEmbed = vit.patchEmbed
  }

  get dim(): number {
    return this.vit.dim
  }

  /** `idsKeep` takes the place of the masking. */
  forward(images: Tensor, { idsKeep }: { idsKeep?: Tensor | undefined } = {}): MaskedEncoding {
    const { patches, gridSize } = this.vit.embed(images)
    const [batch = 0, count = 0] = patches.shape
    const ones = onesLike(patches.detach().select(2, 0))
    const kept = this.training ? (idsKeep ?? this.masking?.(batch, gridSize)) : undefined
    if (!kept) {
      const all = arange(count).unsqueeze(0).expand([batch, count])
      return {
        ...this.pooled(this.vit.forwardTokens(patches, { gridSize })),
        mask: ones.mul(0),
        idsKeep: all,
        gridSize,
      }
    }
    if (kept.ndim !== 2 || kept.shape[0] !== batch) {
      throw shapeMismatch('MaskedEncoder: idsKeep', `[${batch}, visible patches]`, kept.shape)
    }
    const mask = ones.scatterAdd(1, kept, ones.narrow(1, 0, kept.shape[1] ?? 0).neg())
    return { ...this.pooled(this.vit.forwardTokens(takeTokens(patches, kept))), mask, idsKeep: kept, gridSize }
  }

  private pooled(encoded: Tensor): Pick<MaskedEncoding, 'encoded' | 'embedding' | 'mean'> {
    return { encoded, embedding: this.vit.forwardHead(encoded), mean: this.vit.meanOfPatches(encoded) }
  }
}
