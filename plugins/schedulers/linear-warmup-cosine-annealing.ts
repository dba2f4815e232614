/** Linear warm-up, then a cosine to the end of the run. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-warmup-cosine-annealing',
  targets: [
    'stable_pretraining.optim.LinearWarmupCosineAnnealing',
    'stable_pretraining.optim.lr_scheduler.LinearWarmupCosineAnnealing',
  ],
  description: 'Linear warm-up from a share of the learning rate, then a cosine to its end value.',
  config: z.object({
    totalSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    startFactor: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe('learning rate of the first step, as a share; default 0.01'),
    endLr: z.number().min(0).optional().describe('learning rate of the last step; default 0'),
    peakStep: z
      .number()
      .positive()
      .optional()
      .describe('steps of warm-up; below 1, a share of all steps; default 0.01'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'LinearWarmupCosineAnnealing', ...config }, { totalSteps, maxEpochs }),
})
