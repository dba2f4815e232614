/** Linear warm-up, then a cosine to the end of the run. */
import { createScheduler, defineScheduler, z, type ScheduledOptimizer } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-warmup-cosine-annealing',
  targets: ['stable_pretraining.optim.LinearWarmupCosineAnnealing'],
  description: 'Linear warm-up from a fraction of the learning rate, then a cosine to its end value.',
  config: z.object({
    totalSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    startFactor: z.number().min(0).default(0.01).describe('learning rate of the first step, as a fraction'),
    endLr: z.number().min(0).default(0).describe('learning rate of the last step'),
    peakStep: z.number().positive().default(0.01).describe('steps of warm-up; below 1, a fraction of all steps'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(
      optimizer as unknown as ScheduledOptimizer,
      { type: 'LinearWarmupCosineAnnealing', ...config },
      { totalSteps, maxEpochs },
    ),
})
