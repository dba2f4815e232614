/** Schedules at the same time: their factors multiply. */
import { ChainedScheduler, defineScheduler, references, z, type ChainableScheduler } from 'stable-pretraining'

export default defineScheduler({
  name: 'chained-scheduler',
  aliases: ['chained'],
  targets: ['torch.optim.lr_scheduler.ChainedScheduler'],
  description: 'Schedules at the same time, so that their factors multiply.',
  config: z.object({
    schedulers: references('scheduler').describe('the schedules, moved in this order'),
  }),
  async build({ config, build, ...context }) {
    const schedulers: ChainableScheduler[] = []
    for (const use of config.schedulers) schedulers.push((await build(use, context)) as ChainableScheduler)
    return new ChainedScheduler(context.optimizer, { schedulers })
  },
})
