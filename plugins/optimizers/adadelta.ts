/** Adadelta: steps in proportion to past steps, without a rate to tune (Zeiler 2012, arXiv:1212.5701). */
import { Adadelta, defineOptimizer, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'adadelta',
  targets: ['torch.optim.Adadelta', 'torch.optim.adadelta.Adadelta'],
  description: 'Steps in proportion to the size of past steps.',
  config: z.object({
    lr: z.number().min(0).default(1).describe('learning rate'),
    rho: z.number().min(0).max(1).default(0.9).describe('decay rate of the mean squares'),
    eps: z.number().min(0).default(1e-6).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new Adadelta(params, config),
})
