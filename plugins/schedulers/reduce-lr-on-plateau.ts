/** A lower learning rate when a metric stops improving; looked at once an epoch. */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'reduce-lr-on-plateau',
  targets: ['torch.optim.lr_scheduler.ReduceLROnPlateau'],
  description: 'A lower learning rate when a metric stops improving, looked at once an epoch.',
  config: z.object({
    monitor: z.string().optional().describe('the metric; default: the one named beside the optimizer, else val_loss'),
    mode: z.enum(['min', 'max']).optional().describe('whether less or more is better; default min'),
    factor: z.number().gt(0).lt(1).optional().describe('of a reduction; default 0.1'),
    patience: z.int().min(0).optional().describe('epochs without improvement that are tolerated; default 10'),
    threshold: z.number().min(0).optional().describe('smallest change that counts; default 0.0001'),
    thresholdMode: z.enum(['rel', 'abs']).optional().describe('the threshold is a share or a difference; default rel'),
    cooldown: z.int().min(0).optional().describe('epochs after a reduction that do not count; default 0'),
    minLr: z
      .union([z.number(), z.array(z.number())])
      .optional()
      .describe('lowest learning rate; default 0, one number or one a group'),
    eps: z.number().min(0).optional().describe('smallest change of the rate that is made; default 1e-8'),
  }),
  // The trainer reads `monitor`; the schedule is handed its value.
  build: ({ config: { monitor: _, ...config }, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'ReduceLROnPlateau', ...config }, { totalSteps, maxEpochs }),
})
