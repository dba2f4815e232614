/** Adagrad: the gradient over the root of the sum of its squares (Duchi et al. 2011). */
import { Adagrad, defineOptimizer, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'adagrad',
  targets: ['torch.optim.Adagrad', 'torch.optim.adagrad.Adagrad'],
  description: 'The gradient over the root of the sum of its squares so far.',
  config: z.object({
    lr: z.number().min(0).default(1e-2).describe('learning rate'),
    lrDecay: z.number().min(0).default(0).describe('step t has the rate lr / (1 + (t - 1) * lr_decay)'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    initialAccumulatorValue: z.number().min(0).default(0).describe('start value of the sum of squares'),
    eps: z.number().min(0).default(1e-10).describe('added to the denominator'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new Adagrad(params, config),
})
