/** A cosine that starts again and again (Loshchilov & Hutter 2017, arXiv:1608.03983). */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'cosine-annealing-warm-restarts',
  targets: ['torch.optim.lr_scheduler.CosineAnnealingWarmRestarts'],
  description: 'A cosine that starts again and again.',
  config: z.object({
    t0: z.int().min(1).describe('steps until the first restart'),
    tMult: z.int().min(1).optional().describe('factor from one period to the next; default 1'),
    etaMin: z.number().min(0).optional().describe('smallest learning rate; default 0'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'CosineAnnealingWarmRestarts', ...config }, { totalSteps, maxEpochs }),
})
