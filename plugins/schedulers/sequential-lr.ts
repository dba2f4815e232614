/** Schedules one after the other. */
import { defineScheduler, references, SequentialLR, z, type ChainableScheduler } from 'stable-pretraining'

export default defineScheduler({
  name: 'sequential-lr',
  targets: ['torch.optim.lr_scheduler.SequentialLR'],
  description: 'Schedules one after the other, each from its own beginning.',
  config: z.object({
    schedulers: references('scheduler').describe('the schedules in their order'),
    milestones: z.array(z.int().min(1)).describe('steps at which the second, third … schedule begins'),
  }),
  async build({ config: { schedulers: uses, milestones }, build, ...context }) {
    const schedulers: ChainableScheduler[] = []
    for (const use of uses) schedulers.push((await build(use, context)) as ChainableScheduler)
    return new SequentialLR(context.optimizer, { schedulers, milestones })
  },
})
