/** A power of what is left of the steps. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'polynomial-lr',
  targets: ['torch.optim.lr_scheduler.PolynomialLR'],
  description: 'A fall to 0 by a power of what is left of the steps.',
  config: z.object({
    totalIters: z.int().positive().optional().describe('steps until the end of the change; default 5'),
    power: z.number().positive().optional().describe('1: a line; default 1'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'PolynomialLR', ...config }, { totalSteps, maxEpochs }),
})
