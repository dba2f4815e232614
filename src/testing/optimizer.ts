/** What optimizers and schedulers have to keep: going downhill, and going on from a saved state as if never stopped. */
import { SGD, type Optimizer, type Scheduler, type SchedulerState } from '../optim/index.js'
import { noGrad, scope, tensor, type Tensor } from '../tensor/index.js'
import type { Builder } from './index.js'
import { require, requireEqual, rule, type Rule } from './rule.js'
import { numbers } from './synthetic.js'

const start = [1.5, -2, 0.5, 3]

export function optimizerRules(build: Builder): Rule[] {
  const make = async (): Promise<{ weight: Tensor; optimizer: Optimizer }> => {
    const weight = tensor(start, { shape: [2, 2], requiresGrad: true }).keep()
    return { weight, optimizer: (await build({ params: [{ params: [weight], names: ['weight'] }] })) as Optimizer }
  }
  /** A step down the bowl `sum(weight²)`; its height before. */
  const step = ({ weight, optimizer }: { weight: Tensor; optimizer: Optimizer }): Promise<number> =>
    scope(async () => {
      const loss = weight.square().sum()
      loss.backward()
      const height = await loss.item()
      optimizer.step()
      optimizer.zeroGrad()
      return height
    })

  return [
    rule('thirty steps lead downhill', async () => {
      const at = await make()
      const first = await step(at)
      for (let i = 0; i < 29; i++) await step(at)
      const last = await step(at)
      require(last < first, () => `sum(weight²) went from ${first} to ${last}`)
    }),
    rule('it goes on from a saved state as if never stopped', async () => {
      const [whole, resumed] = [await make(), await make()]
      for (let i = 0; i < 4; i++) await step(whole)
      noGrad(() => resumed.weight.copy_(whole.weight))
      await resumed.optimizer.loadStateDict(whole.optimizer.stateDict())
      for (let i = 0; i < 4; i++) {
        await step(whole)
        await step(resumed)
      }
      requireEqual('the weight', await numbers(resumed.weight), await numbers(whole.weight))
    }),
    rule('a parameter without a gradient stays as it is', async () => {
      const { weight, optimizer } = await make()
      optimizer.step()
      requireEqual('the weight', await numbers(weight), start)
    }),
  ]
}

export function schedulerRules(build: Builder): Rule[] {
  const steps = 20
  const make = async (): Promise<{ optimizer: SGD; scheduler: Scheduler }> => {
    const optimizer = new SGD([{ params: [tensor([1], { requiresGrad: true }).keep()] }], { lr: 0.1 })
    return { optimizer, scheduler: (await build({ optimizer, totalSteps: steps, maxEpochs: 2 })) as Scheduler }
  }
  const rates = ({ optimizer, scheduler }: Awaited<ReturnType<typeof make>>, count: number): number[] =>
    Array.from({ length: count }, () => {
      ;(scheduler.step as (metric?: number) => void)(1)
      return optimizer.groups[0]!.lr
    })

  return [
    rule('learning rates are finite and not negative', async () => {
      const at = await make()
      const wrong = [at.optimizer.groups[0]!.lr, ...rates(at, steps)].find((lr) => !(lr >= 0 && Number.isFinite(lr)))
      require(wrong === undefined, () => `it set a learning rate of ${wrong}`)
    }),
    rule('it goes on from a saved state as if never stopped', async () => {
      const [whole, resumed] = [await make(), await make()]
      rates(whole, 7)
      await resumed.optimizer.loadStateDict(whole.optimizer.stateDict())
      resumed.scheduler.loadState(JSON.parse(JSON.stringify(whole.scheduler.state())) as SchedulerState)
      requireEqual('the learning rate', rates(resumed, 8), rates(whole, 8))
    }),
  ]
}
