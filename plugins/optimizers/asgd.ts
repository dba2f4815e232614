/** Averaged gradient descent (Polyak & Juditsky 1992); the average is kept, the weights themselves are not averaged. */
import { ASGD, defineOptimizer, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'asgd',
  targets: ['torch.optim.ASGD', 'torch.optim.asgd.ASGD'],
  description: 'Gradient descent that keeps an average of the weights.',
  config: z.object({
    lr: z.number().min(0).default(1e-2).describe('learning rate'),
    lambd: z.number().default(1e-4).describe('decay of the rate and of the weights'),
    alpha: z.number().default(0.75).describe('power of the decay of the rate'),
    t0: z.number().default(1e6).describe('step at which averaging starts'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new ASGD(params, config),
})
