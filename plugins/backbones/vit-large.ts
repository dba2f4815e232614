/** ViT-Large under timm's parameter names (Dosovitskiy et al. 2021, arXiv:2010.11929). */
import { defineBackbone, nn } from 'stable-pretraining'

export default defineBackbone({
  name: 'vit-large',
  aliases: ['vit_large_patch16_224'],
  targets: [
    'timm.models.vision_transformer.vit_large_patch16_224',
    'stable_pretraining.backbone.vit_large_patch16_224',
    'stable_pretraining.backbone.vit.vit_large_patch16_224',
  ],
  description: 'Vision transformer of 24 layers; [batch, 3, height, width] to [batch, 1024].',
  paper: 'Dosovitskiy et al. 2021, arXiv:2010.11929',
  config: nn.vitConfig(),
  async build({ config: { pretrained, ...config }, root, log }) {
    const module = nn.vitFromConfig('large', config)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: module.dim }
  },
})
