/** RMSprop: the gradient over the root of its mean square (Hinton 2012, lecture 6e). */
import { defineOptimizer, RMSprop, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'rmsprop',
  targets: ['torch.optim.RMSprop', 'torch.optim.rmsprop.RMSprop'],
  description: 'The gradient over the root of its mean square.',
  config: z.object({
    lr: z.number().min(0).default(1e-2).describe('learning rate'),
    alpha: z.number().min(0).default(0.99).describe('decay rate of the mean square'),
    eps: z.number().min(0).default(1e-8).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    momentum: z.number().min(0).default(0).describe('share of the last step that is kept'),
    centered: z.boolean().default(false).describe('divides by the standard deviation (Graves 2013)'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new RMSprop(params, config),
})
