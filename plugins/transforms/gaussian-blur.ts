/** Blurs an image with a Gaussian of random width, by chance. */
import { defineImageTransform, z } from 'stable-pretraining'

const odd = z
  .int()
  .min(1)
  .refine((size) => size % 2 === 1, 'expected an odd number')

export default defineImageTransform({
  name: 'gaussian-blur',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPUGaussianBlur',
    'stable_pretraining.data.transforms.GaussianBlur',
    'torchvision.transforms.v2.GaussianBlur',
    'torchvision.transforms.GaussianBlur',
  ],
  targetDefaults: { 'stable_pretraining.data.gpu_transforms.GPUGaussianBlur': { kernel_size: 23, p: 0.5 } },
  description: 'A Gaussian blur of random width.',
  config: z.object({
    kernelSize: z
      .union([odd, z.tuple([odd, odd])])
      .describe('pixels that a blurred one is averaged from, or [across, down]; odd'),
    sigma: z
      .union([z.number().positive(), z.tuple([z.number().positive(), z.number().positive()])])
      .default([0.1, 2])
      .describe('standard deviation in pixels, or its range, drawn evenly'),
    p: z.number().min(0).max(1).default(1).describe('how probable it is'),
  }),
  build({ config }) {
    const { sigma, p } = config
    const kernelSize: [number, number] =
      typeof config.kernelSize === 'number' ? [config.kernelSize, config.kernelSize] : config.kernelSize
    return {
      steps: [{ type: 'gaussian-blur', kernelSize, sigma: typeof sigma === 'number' ? [sigma, sigma] : sigma, p }],
    }
  },
})
