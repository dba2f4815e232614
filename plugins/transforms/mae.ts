/** Crop and flip, which is all that masked autoencoders need; SimMIM and data2vec begin with it too. */
import { defineTransform, viewSteps, z } from 'stable-pretraining'

export default defineTransform({
  name: 'mae',
  description: 'One view: crop and flip.',
  paper: 'He et al. 2022, arXiv:2111.06377, appendix A.1',
  config: z.object({
    size: z.int().min(1).describe('side of the view in pixels'),
    scale: z
      .tuple([z.number().positive(), z.number().positive()])
      .default([0.2, 1])
      .describe('part of the area the view shows'),
    flip: z.number().min(0).max(1).default(0.5).describe('probability of swapping left and right'),
    rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
    mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
    statistics: z
      .string()
      .optional()
      .describe('instead of mean and std: the name of a known data set, such as CIFAR10'),
  }),
  build: ({ config }) => ({ steps: viewSteps('mae', config) }),
})
