/** A factor every so many steps. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'step-lr',
  targets: ['torch.optim.lr_scheduler.StepLR'],
  description: 'A factor every so many steps.',
  config: z.object({
    stepSize: z.int().min(1).optional().describe('steps between two changes; default 30'),
    gamma: z.number().positive().optional().describe('factor; default 0.1'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'StepLR', ...config }, { totalSteps, maxEpochs }),
})
