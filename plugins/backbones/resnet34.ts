/** ResNet-34 under torchvision's parameter names (He et al. 2016, arXiv:1512.03385). */
import { defineBackbone, nn, z } from 'stable-pretraining'

export default defineBackbone({
  name: 'resnet34',
  targets: ['torchvision.models.resnet34'],
  description: 'Residual network of 34 layers; [batch, 3, height, width] to [batch, 512].',
  config: z.object({
    pretrained: nn.pretrainedOption(),
    lowResolution: z
      .boolean()
      .default(false)
      .describe('for images of about 32 pixels: a 3×3 stem with stride 1 and no max-pool'),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
  }),
  async build({ config: { pretrained, ...config }, root, log }) {
    const module = nn.resnet34(config)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: module.dim }
  },
})
