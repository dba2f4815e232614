/** Linear warm-up, then constant. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-warmup',
  targets: ['stable_pretraining.optim.LinearWarmup', 'stable_pretraining.optim.lr_scheduler.LinearWarmup'],
  description: 'Linear warm-up from a share of the learning rate, then constant.',
  config: z.object({
    totalSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    startFactor: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('learning rate of the first step, as a share; default 0.01'),
    peakStep: z
      .number()
      .positive()
      .optional()
      .describe('steps of warm-up; below 1, a share of all steps; default 0.1, without any option 0.01'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'LinearWarmup', ...config }, { totalSteps, maxEpochs }),
})
