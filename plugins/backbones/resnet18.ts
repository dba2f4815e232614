/** ResNet-18 under torchvision's parameter names (He et al. 2016, arXiv:1512.03385). */
import { defineBackbone, nn, z } from 'stable-pretraining'

export default defineBackbone({
  name: 'resnet18',
  targets: ['torchvision.models.resnet18'],
  description: 'Residual network of 18 layers; [batch, 3, height, width] to [batch, 512].',
  config: z.object({
    pretrained: nn.pretrainedOption(),
    lowResolution: z
      .boolean()
      .default(false)
      .describe('for images of about 32 pixels: a 3×3 stem with stride 1 and no max-pool'),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
    width: z
      .int()
      .min(1)
      .default(64)
      .describe('channels of the first stage, an eighth of the outputs; torchvision’s network has 64'),
  }),
  async build({ config: { pretrained, ...config }, root, log }) {
    const module = nn.resnet18(config)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: module.dim }
  },
})
