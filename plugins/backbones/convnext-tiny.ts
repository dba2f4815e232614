/** ConvNeXt-Tiny under timm's parameter names (Liu et al. 2022, arXiv:2201.03545). */
import { defineBackbone, nn, z } from 'stable-pretraining'

export default defineBackbone({
  name: 'convnext-tiny',
  targets: ['timm.models.convnext.convnext_tiny'],
  description: 'Convolutional network of 3, 3, 9 and 3 blocks; [batch, 3, height, width] to [batch, 768].',
  paper: 'Liu et al. 2022, arXiv:2201.03545',
  config: z.object({
    pretrained: nn.pretrainedOption(),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
    dropPathRate: z.number().min(0).max(1).default(0).describe("probability that the last block's residual is dropped"),
    layerScaleInit: z
      .number()
      .nullable()
      .default(1e-6)
      .describe('start value of the factor on each residual; null: none'),
  }),
  async build({ config: { pretrained, ...config }, root, log }) {
    const module = nn.convnextTiny(config)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: module.dim }
  },
})
