/** Linear warm-up, then a falling line with three waves on it. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-warmup-cyclic-annealing',
  targets: [
    'stable_pretraining.optim.LinearWarmupCyclicAnnealing',
    'stable_pretraining.optim.lr_scheduler.LinearWarmupCyclicAnnealing',
  ],
  description: 'Linear warm-up, then a falling line with three waves on it.',
  config: z.object({
    totalSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    startFactor: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('learning rate of the first step, as a share; default 0.01'),
    peakStep: z.number().positive().optional().describe('steps of warm-up; below 1, a share of all steps; default 0.1'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'LinearWarmupCyclicAnnealing', ...config }, { totalSteps, maxEpochs }),
})
