/** A multi-layer perceptron on the pixels of small images, under torchvision's parameter names. */
import { defineBackbone, nn, z, type Tensor } from 'stable-pretraining'

export default defineBackbone({
  name: 'mlp',
  targets: ['stable_pretraining.backbone.MLP', 'torchvision.ops.MLP'],
  description: 'Fully connected layers on the pixels; [batch, channels, side, side] to [batch, last of hidden].',
  config: z.object({
    pretrained: nn.pretrainedOption(),
    hidden: z
      .array(z.int().min(1))
      .min(1)
      .default([512, 512])
      .describe('width of each layer; the last is the embedding'),
    imageSize: z.int().min(1).default(32).describe('side of the images, pixels'),
    inChannels: z.int().min(1).default(3).describe('channels of the images'),
    norm: z
      .enum(['batch_norm'])
      .nullable()
      .default('batch_norm')
      .describe('a norm after each layer but the last; null: none'),
    bias: z.boolean().default(true).describe('whether the layers have a bias'),
    dropout: z.number().min(0).max(1).default(0).describe('probability that a value is set to 0, after each layer'),
  }),
  async build({ config: { pretrained, hidden, imageSize, inChannels, ...options }, root, log }) {
    const { layers } = nn.mlp([inChannels * imageSize ** 2, ...hidden], options)
    const module = new PixelPerceptron(...layers)
    await nn.loadPretrained(module, pretrained, { root, log })
    return { module, dim: hidden.at(-1) ?? 0 }
  },
})

/** Takes the pixels of an image as one vector; the names of its parameters stay those of the perceptron. */
class PixelPerceptron extends nn.Sequential {
  override forward(images: Tensor): Tensor {
    return super.forward(images.flatten(1))
  }
}
