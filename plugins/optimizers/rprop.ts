/** Resilient backpropagation: only the signs of the gradients count (Riedmiller & Braun 1993); for full batches. */
import { defineOptimizer, Rprop, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'rprop',
  targets: ['torch.optim.Rprop', 'torch.optim.rprop.Rprop'],
  description: 'Steps by the signs of the gradients, for full batches.',
  config: z.object({
    lr: z.number().min(0).default(1e-2).describe('learning rate'),
    etas: z
      .tuple([z.number().gt(0).lt(1), z.number().gt(1)])
      .default([0.5, 1.2])
      .describe('factors of a step size after a change of sign and after none'),
    stepSizes: z
      .tuple([z.number().min(0), z.number().min(0)])
      .default([1e-6, 50])
      .describe('smallest and largest step size'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new Rprop(params, config),
})
