/** ResNet-9, the small residual network for images of about 32 pixels, as stable-pretraining has it. */
import { defineBackbone, nn, z } from 'stable-pretraining'

export default defineBackbone({
  name: 'resnet9',
  targets: ['stable_pretraining.backbone.Resnet9'],
  description: 'Residual network of 9 layers; [batch, 3, height, width] to [batch, 1024].',
  config: z.object({
    pretrained: nn.pretrainedOption(),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
    bnMomentum: z.number().min(0).max(1).default(0.9).describe('share of the new batch in the running statistics'),
  }),
  async build({ config: { pretrained, ...config }, root, log }) {
    const module = new nn.ResNet9(config)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: module.dim }
  },
})
