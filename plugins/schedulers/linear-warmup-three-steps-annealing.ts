/** Linear warm-up, then a factor at 40, 60 and 80 % of the rest. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-warmup-three-steps-annealing',
  targets: [
    'stable_pretraining.optim.LinearWarmupThreeStepsAnnealing',
    'stable_pretraining.optim.lr_scheduler.LinearWarmupThreeStepsAnnealing',
  ],
  description: 'Linear warm-up, then a factor at 40, 60 and 80 % of the rest.',
  config: z.object({
    totalSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    startFactor: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('learning rate of the first step, as a share; default 0.001'),
    gamma: z.number().positive().optional().describe('factor; default 0.3'),
    peakStep: z
      .number()
      .positive()
      .optional()
      .describe('steps of warm-up; below 1, a share of all steps; default 0.05'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'LinearWarmupThreeStepsAnnealing', ...config }, { totalSteps, maxEpochs }),
})
