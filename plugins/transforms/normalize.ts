/** Subtracts a mean from each channel and divides by a deviation; comes last. */
import { SptError, defineImageTransform, normalizeSteps, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'normalize',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPUNormalize',
    'torchvision.transforms.v2.Normalize',
    'torchvision.transforms.Normalize',
  ],
  description: 'Channels with mean 0 and deviation 1.',
  config: z.object({
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as ImageNet'),
  }),
  build({ config }) {
    const steps = normalizeSteps('normalize', config)
    if (steps.length === 0)
      throw new SptError('ERR_ARGUMENT', 'normalize: expected mean and std, or statistics, got neither')
    return { steps }
  },
})
