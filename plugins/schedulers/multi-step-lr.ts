/** A factor at each of given steps. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'multi-step-lr',
  targets: ['torch.optim.lr_scheduler.MultiStepLR'],
  description: 'A factor at each of given steps.',
  config: z.object({
    milestones: z.array(z.number().min(0)).describe('the steps; one that is listed twice counts twice'),
    gamma: z.number().positive().optional().describe('factor; default 0.1'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'MultiStepLR', ...config }, { totalSteps, maxEpochs }),
})
