/** Stochastic gradient descent with momentum, as in PyTorch. */
import { defineOptimizer, SGD, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'sgd',
  targets: ['torch.optim.SGD', 'torch.optim.sgd.SGD'],
  description: 'Gradient descent with momentum.',
  config: z.object({
    lr: z.number().min(0).default(1e-3).describe('learning rate'),
    momentum: z.number().min(0).default(0).describe('share of the last step that is kept'),
    dampening: z.number().default(0).describe('share of the gradient that momentum leaves out'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    nesterov: z.boolean().default(false).describe('looks ahead along the momentum'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new SGD(params, config),
})
