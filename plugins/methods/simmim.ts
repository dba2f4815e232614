/**
 * SimMIM: a token stands in for most patches, one linear layer predicts their pixels (Xie et al. 2022, arXiv:2111.09886).
 * For vision transformers; the paper's Swin is none of ours, and networks without tokens have no place for the mask. The
 * embedding is the mean of the patches of the whole image, in training as well. The loss is on the pixels as they come.
 */
import { defineMethod, generatorOfBatch, imagesOf, nn, normalisePatches } from 'stable-pretraining'
import { patchify, z, type Tensor } from 'stable-pretraining'

export default defineMethod({
  name: 'simmim',
  targets: ['stable_pretraining.methods.SimMIM', 'stable_pretraining.SimMIM'],
  description: 'Masked image modelling with one linear layer that predicts pixels. Vision transformers only.',
  paper: 'Xie et al. 2022, arXiv:2111.09886',
  family: 'masked image modelling',
  needs: { views: 1, backbone: 'vision transformer' },
  recipe: 'mae',
  config: z.object({
    maskRatio: z.number().gt(0).lt(1).default(0.6).describe('share of the patches that are hidden'),
    maskUnit: z
      .int()
      .positive()
      .default(2)
      .describe('side of the squares hidden at once, in patches: 32 pixels in the paper, two patches of 16'),
    normPixLoss: z.boolean().default(false).describe('each patch is predicted at mean 0 and variance 1, as MAE does'),
    cleanEmbedding: z
      .boolean()
      .default(true)
      .describe('in training embed the whole image, a second pass; false: what the first pass saw of it, faster'),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'simmim', 'a mask token takes the place of patches')
    const encoder = new nn.MaskTokenEncoder(vit)
    const { patchSize, proj } = vit.patchEmbed
    const patch = [proj.weight.shape[1] ?? 0, ...patchSize] // [channels, height, width]
    const decoder = new nn.Linear(
      vit.dim,
      patch.reduce((a, b) => a * b),
    )
    const clean = (image: Tensor): Tensor => nn.inEvaluation(encoder, () => encoder.forward(image).mean) // [batch, dim]
    return {
      modules: { encoder, decoder },
      forward(batch, stage, progress) {
        const { image, ...label } = imagesOf(batch, 'simmim')
        if (stage !== 'fit') return { embedding: clean(image), ...label }
        const [count = 0, , height = 0, width = 0] = image.shape
        const { mask, hidden } = nn.randomMask(count, vit.patchEmbed.grid(height, width), {
          maskRatio: config.maskRatio,
          unit: config.maskUnit,
          generator: generatorOfBatch(seed, progress.batch),
        })
        const { patches, mean } = encoder.forward(image, { mask }) // patches: [batch, patches, dim]
        const pixels = nn.takeTokens(patchify(image, patch), hidden) // [batch, hidden, pixels of a patch]
        const goal = config.normPixLoss ? normalisePatches(pixels) : pixels
        const loss = decoder.forward(nn.takeTokens(patches, hidden)).sub(goal).abs().mean()
        const embedding = config.cleanEmbedding ? clean(image) : mean.detach()
        return { loss, embedding, ...label }
      },
    }
  },
})
