/** A cosine from the learning rate to its smallest value (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts). */
import { createScheduler, defineScheduler, z, type ScheduledOptimizer } from 'stable-pretraining'

export default defineScheduler({
  name: 'cosine-annealing-lr',
  aliases: ['cosine-annealing'],
  targets: ['torch.optim.lr_scheduler.CosineAnnealingLR'],
  description: 'A cosine from the learning rate to its smallest value.',
  config: z.object({
    tMax: z.int().positive().optional().describe('steps to the smallest value; default: those of the run'),
    etaMin: z.number().min(0).default(0).describe('smallest learning rate'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(
      optimizer as unknown as ScheduledOptimizer,
      { type: 'CosineAnnealingLR', ...config },
      { totalSteps, maxEpochs },
    ),
})
