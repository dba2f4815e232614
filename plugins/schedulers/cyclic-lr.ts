/** A triangle wave between two learning rates (Smith 2017, arXiv:1506.01186). */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'cyclic-lr',
  targets: ['torch.optim.lr_scheduler.CyclicLR'],
  description: 'A triangle wave between two learning rates.',
  config: z.object({
    baseLr: z.union([z.number(), z.array(z.number())]).describe('lowest rate, one number or one a group'),
    maxLr: z.union([z.number(), z.array(z.number())]).describe('highest rate, one number or one a group'),
    stepSizeUp: z.int().positive().optional().describe('steps of a rise; default 2000'),
    stepSizeDown: z.int().positive().optional().describe('steps of a fall; default: as many as of a rise'),
    mode: z
      .enum(['triangular', 'triangular2', 'exp_range'])
      .optional()
      .describe('equal waves, each half as high as the last, or falling by gamma each step; default triangular'),
    gamma: z.number().positive().optional().describe('of exp_range; default 1'),
    cycleMomentum: z.boolean().optional().describe('moves the momentum against the rate; default true'),
    baseMomentum: z
      .union([z.number(), z.array(z.number())])
      .optional()
      .describe('smallest momentum; default 0.8, one number or one a group'),
    maxMomentum: z
      .union([z.number(), z.array(z.number())])
      .optional()
      .describe('largest momentum; default 0.9, one number or one a group'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'CyclicLR', ...config }, { totalSteps, maxEpochs }),
})
