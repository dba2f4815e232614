/** One rise and one fall of the learning rate (Smith & Topin 2018, arXiv:1708.07120). */
import { createScheduler, defineScheduler, z } from 'stable-pretraining'

export default defineScheduler({
  name: 'one-cycle-lr',
  targets: ['torch.optim.lr_scheduler.OneCycleLR'],
  description: 'One rise and one fall of the learning rate.',
  config: z.object({
    maxLr: z
      .union([z.number(), z.array(z.number())])
      .optional()
      .describe('highest rate; default the optimizer’s, one number or one a group'),
    totalSteps: z.int().positive().optional().describe('steps of the whole schedule; default: those of the run'),
    epochs: z.int().positive().optional().describe('with steps_per_epoch, instead of total_steps'),
    stepsPerEpoch: z.int().positive().optional().describe('with epochs, instead of total_steps'),
    pctStart: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('share of the rise; default 0.3, without any option 0.01 or less'),
    annealStrategy: z.enum(['cos', 'linear']).optional().describe('shape of rise and fall; default cos'),
    cycleMomentum: z.boolean().optional().describe('moves the momentum against the rate; default true'),
    baseMomentum: z
      .union([z.number(), z.array(z.number())])
      .optional()
      .describe('smallest momentum; default 0.85, one number or one a group'),
    maxMomentum: z
      .union([z.number(), z.array(z.number())])
      .optional()
      .describe('largest momentum; default 0.95, one number or one a group'),
    divFactor: z.number().positive().optional().describe('highest rate over the first; default 25'),
    finalDivFactor: z.number().positive().optional().describe('first rate over the last; default 10000'),
    threePhase: z
      .boolean()
      .optional()
      .describe('comes back to the first rate before it falls to the last; default false'),
  }),
  build: ({ config, optimizer, totalSteps, maxEpochs }) =>
    createScheduler(optimizer, { type: 'OneCycleLR', ...config }, { totalSteps, maxEpochs }),
})
