/** A cosine from the learning rate to its smallest value (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts). */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'cosine-annealing-lr',
  aliases: ['cosine-annealing'],
  targets: ['torch.optim.lr_scheduler.CosineAnnealingLR'],
  description: 'A cosine from the learning rate to its smallest value.',
  config: z.object({
    tMax: z.int().positive().optional().describe('steps to the smallest value; default: those of the run'),
    etaMin: z.number().min(0).optional().describe('smallest learning rate; default 0'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'CosineAnnealingLR', ...config }, { totalSteps, maxEpochs }),
})
