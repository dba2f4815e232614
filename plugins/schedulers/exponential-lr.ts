/** The same factor every step. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'exponential-lr',
  targets: ['torch.optim.lr_scheduler.ExponentialLR'],
  description: 'The same factor every step.',
  config: z.object({
    gamma: z.number().positive().optional().describe('factor of each step; default 0.9'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'ExponentialLR', ...config }, { totalSteps, maxEpochs }),
})
