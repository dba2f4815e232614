/** Lion: steps by the sign of a momentum (Chen et al. 2023, arXiv:2302.06675). */
import { defineOptimizer, Lion, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'lion',
  targets: ['timm.optim.Lion', 'timm.optim.lion.Lion', 'lion_pytorch.Lion'],
  description: 'Steps by the sign of a momentum, with decoupled weight decay.',
  config: z.object({
    lr: z.number().min(0).default(1e-4).describe('learning rate'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.99])
      .describe('share of the momentum in a step, and decay rate of the momentum'),
    weightDecay: z.number().min(0).default(0).describe('share of a weight that a step of size 1 takes away'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new Lion(params, config),
})
