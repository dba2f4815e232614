/** The learning rate times a factor for the first steps. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'constant-lr',
  targets: ['torch.optim.lr_scheduler.ConstantLR'],
  description: 'The learning rate times a factor for the first steps.',
  config: z.object({
    factor: z.number().gt(0).max(1).optional().describe('factor until then; default 1/3'),
    totalIters: z.int().positive().optional().describe('steps until the end of the change; default 5'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'ConstantLR', ...config }, { totalSteps, maxEpochs }),
})
