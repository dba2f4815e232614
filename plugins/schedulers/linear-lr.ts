/** A line between two shares of the learning rate. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-lr',
  targets: ['torch.optim.lr_scheduler.LinearLR'],
  description: 'A line between two shares of the learning rate.',
  config: z.object({
    startFactor: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('learning rate of the first step, as a share; default 1/3'),
    endFactor: z.number().min(0).max(1).optional().describe('learning rate at the end, as a share; default 1'),
    totalIters: z.int().positive().optional().describe('steps until the end of the change; default 5'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'LinearLR', ...config }, { totalSteps, maxEpochs }),
})
