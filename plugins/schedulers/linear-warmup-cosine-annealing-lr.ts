/** A line from one rate to the learning rate, then a cosine; given in rates instead of shares. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'linear-warmup-cosine-annealing-lr',
  targets: [
    'stable_pretraining.optim.LinearWarmupCosineAnnealingLR',
    'stable_pretraining.optim.lr_scheduler.LinearWarmupCosineAnnealingLR',
  ],
  description: 'A line to the learning rate, then a cosine to the smallest; given in rates.',
  config: z.object({
    warmupSteps: z.int().min(0).optional().describe('steps of the line; default 1 % of the run'),
    maxSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    warmupStartLr: z.number().min(0).optional().describe('first learning rate; default 0'),
    etaMin: z.number().min(0).optional().describe('smallest learning rate; default 0'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'LinearWarmupCosineAnnealingLR', ...config }, { totalSteps, maxEpochs }),
})
