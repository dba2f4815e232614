/** ConvMixer (Trockman & Kolter 2022, arXiv:2201.09792) as stable-pretraining has it. */
import { defineBackbone, nn, z } from 'stable-pretraining'

export default defineBackbone({
  name: 'convmixer',
  targets: ['stable_pretraining.backbone.ConvMixer'],
  description: 'Depthwise and 1×1 convolutions on patches; [batch, 3, height, width] to [batch, dim].',
  paper: 'Trockman & Kolter 2022, arXiv:2201.09792',
  config: z.object({
    pretrained: nn.pretrainedOption(),
    dim: z.int().min(1).default(64).describe('channels of every layer: the width of the embedding'),
    depth: z.int().min(1).default(6).describe('blocks'),
    kernelSize: z.int().min(1).default(9).describe('window of the depthwise convolutions, pixels'),
    patchSize: z.int().min(1).default(7).describe('side of the square that becomes one position, pixels'),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
  }),
  async build({ config: { pretrained, ...config }, root, log }) {
    const module = new nn.ConvMixer(config)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: module.dim }
  },
})
