/** Cuts out a random part of an image and brings it to a fixed size: the strongest augmentation of contrastive learning. */
import { defineImageTransform, interpolationOf, sizeOf, z } from 'stable-pretraining'

const pixels = z.int().min(1)

export default defineImageTransform({
  name: 'random-resized-crop',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPURandomResizedCrop',
    'stable_pretraining.data.transforms.RandomResizedCrop',
    'torchvision.transforms.v2.RandomResizedCrop',
    'torchvision.transforms.RandomResizedCrop',
  ],
  description: 'A random part of the image, resized.',
  paper: 'Szegedy et al. 2015, arXiv:1409.4842',
  config: z.object({
    size: z.union([pixels, z.tuple([pixels, pixels])]).describe('side of the square, or [height, width], in pixels'),
    scale: z
      .tuple([z.number().positive(), z.number().positive()])
      .default([0.08, 1])
      .describe('range of the part of the area, drawn evenly'),
    ratio: z
      .tuple([z.number().positive(), z.number().positive()])
      .default([3 / 4, 4 / 3])
      .describe('range of width over height, its logarithm drawn evenly'),
    interpolation: z
      .union([z.enum(['nearest', 'nearest-exact', 'bilinear', 'bicubic']), z.literal([0, 2, 3])])
      .default('bilinear')
      .describe('nearest (0), nearest-exact, bilinear (2) or bicubic (3)'),
    p: z.literal(1).default(1).describe('accepted: every image is cut, since all end up in one size'),
    antialias: z.boolean().default(true).describe('averages over the pixels that shrink to one'),
  }),
  build({ config }) {
    const { scale, ratio, antialias } = config
    const interpolation = interpolationOf(config.interpolation)
    return {
      steps: [{ type: 'random-resized-crop', size: sizeOf(config.size), scale, ratio, interpolation, antialias }],
    }
  },
})
