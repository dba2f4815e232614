/** Layers, containers, initialisers and the module tree. */
export * from './activation.js'
export * from './attention.js'
export * from './block-masking.js'
export * from './containers.js'
export * from './convmixer.js'
export * from './convnext.js'
export * from './convolution.js'
export * from './distance.js'
export * from './dropout.js'
export * from './embedding.js'
export * from './feed-forward.js'
export * from './features.js'
export * from './flexible-transformer.js'
export * from './freeze.js'
export * as init from './init.js'
export * from './linear.js'
export * from './mae-decoder.js'
export * from './masked-encoder.js'
export * from './mlp.js'
export {
  type Cost,
  type ForwardHook,
  type Layer,
  Module,
  parameter,
  snakeCase,
  type StateDictMismatch,
} from './module.js'
export * from './multihead-attention.js'
export * from './normalization.js'
export * from './padding.js'
export * from './patch-embed.js'
export { patchMasking, type PatchMaskingOptions } from './patch-masking.js'
export * from './pooling.js'
export * from './position-embedding.js'
export * from './pretrained.js'
export * from './resnet.js'
export * from './resnet9.js'
export * from './rotary.js'
export * from './shadow.js'
export * from './shape.js'
export * from './summary.js'
export * from './transformer-block.js'
export * from './upsample.js'
export * from './vision-transformer.js'
export * from './vit-presets.js'
export * from './vit.js'
export * from './weight-norm.js'
