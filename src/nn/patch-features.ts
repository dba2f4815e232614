/** Networks whose features keep their place in the image: patch tokens of transformers, feature maps of convolutions. */
import { unsupported } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import type { Module } from './module.js'
import { VisionTransformer } from './vision-transformer.js'

/** A network in two halves, under timm's names: features by place, then their pooling. */
export interface PatchNetwork extends Module {
  /** Channels of a place. */
  readonly patchDim: number
  /** [batch, channels, height, width] to tokens [batch, places, patchDim] or a map [batch, patchDim, rows, columns]. */
  forwardFeatures(images: Tensor): Tensor
  /** Those to embeddings [batch, dim]. */
  forwardHead(features: Tensor): Tensor
}

/** @throws ERR_UNSUPPORTED for a network without places, saying who asks. */
export function requirePatches(module: Module<unknown>, asker: string): PatchNetwork {
  if ('forwardFeatures' in module && 'forwardHead' in module && 'patchDim' in module) return module as PatchNetwork
  throw unsupported(
    asker,
    `it needs features that keep their place in the image, and ${module.constructor.name} gives one vector an image`,
    'Choose a backbone with feature maps or patch tokens, such as resnet18, convnext-tiny or vit-tiny.',
  )
}

/** Embeddings [batch, dim] and features of each place [batch, places, patchDim], from one pass. */
export function patchFeatures(network: PatchNetwork, images: Tensor): { embedding: Tensor; patches: Tensor } {
  const features = network.forwardFeatures(images)
  const patches =
    network instanceof VisionTransformer
      ? network.patchesOf(features)
      : features.ndim === 4
        ? features.flatten(2).transpose(1, 2)
        : features
  return { embedding: network.forwardHead(features), patches }
}
