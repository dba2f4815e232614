/**
 * MAE: an encoder sees a quarter of the patches, a small decoder says what the others look like (He et al. 2022,
 * arXiv:2111.06377). The embedding is the mean of the patches of the whole image, in training as well.
 */
import { defineMethod, generatorOfBatch, imagesOf, MAELoss, nn, z, type Batch, type Tensor } from 'stable-pretraining'

export default defineMethod({
  name: 'mae',
  targets: ['stable_pretraining.methods.MAE', 'stable_pretraining.MAE'],
  description:
    'Masked autoencoder: most patches are left out, a decoder predicts their pixels. Vision transformers only.',
  paper: 'He et al. 2022, arXiv:2111.06377',
  family: 'masked image modelling',
  needs: { views: 1, backbone: 'vision transformer' },
  recipe: 'mae',
  config: z.object({
    maskRatio: z.number().min(0).lt(1).default(0.75).describe('share of the patches that are left out'),
    blockSize: z.int().positive().default(1).describe('side of the squares left out at once, in patches'),
    decoderEmbedDim: z.int().positive().default(512).describe('width of the decoder'),
    decoderDepth: z.int().positive().default(8).describe('blocks of the decoder'),
    decoderNumHeads: z.int().positive().default(16).describe('attention heads of the decoder'),
    normPixLoss: z.boolean().default(true).describe('each patch is predicted at mean 0 and variance 1'),
    lossType: z.enum(['mse', 'cosine', 'smooth_l1']).default('mse').describe('how a patch is compared'),
    cleanEmbedding: z
      .boolean()
      .default(true)
      .describe('in training embed the whole image, a second pass; false: what the first pass saw of it, faster'),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'mae', 'its encoder sees some of the patches only')
    const encoder = new nn.MaskedEncoder(vit)
    const { patchSize, defaultGrid: gridSize, proj } = vit.patchEmbed
    const decoder = new nn.MAEDecoder({
      embedDim: vit.dim,
      decoderEmbedDim: config.decoderEmbedDim,
      outputDim: (proj.weight.shape[1] ?? 0) * patchSize[0] * patchSize[1],
      numPatches: gridSize[0] * gridSize[1],
      gridSize,
      depth: config.decoderDepth,
      numHeads: config.decoderNumHeads,
    })
    const { lossType, normPixLoss: patchNormalize, maskRatio, blockSize } = config
    const maeLoss = new MAELoss({ patchSize: patchSize[0], lossType, patchNormalize })
    const clean = (image: Tensor): Tensor => nn.inEvaluation(encoder, () => encoder.forward(image).mean) // [batch, dim]
    return {
      modules: { encoder, decoder },
      forward(batch: Batch, stage, progress) {
        const { image, ...label } = imagesOf(batch, 'mae')
        if (stage !== 'fit') return { embedding: clean(image), ...label }
        const generator = generatorOfBatch(seed, progress.batch)
        const draw = nn.patchMasking({ maskRatio, blockSize, generator })
        const given = batch['idsKeep'] as Tensor | undefined // a data pipeline may bring masks of its own
        const { encoded, mean, mask, idsKeep } = encoder.forward(image, {
          idsKeep: given ?? draw(image.shape[0] ?? 0, gridSize),
        })
        const visible = vit.patchesOf(encoded) // [batch, visible, dim]
        const prediction = decoder.forward(visible, mask, { idsKeep }) // [batch, patches, pixels of one]
        const loss = maeLoss.forward(prediction, image, mask)
        const embedding = config.cleanEmbedding ? clean(image) : mean.detach()
        return { loss, embedding, ...label }
      },
    }
  },
})
