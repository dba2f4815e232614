/** A built method as the module that a trainer takes. */
import type { Module as Network } from '../nn/index.js'
import type { Method, StepProgress } from '../plugin/contracts.js'
import { Module, type ModuleOptions, type TrainingModule } from '../train/index.js'

export function methodModule(method: Method, options: Pick<ModuleOptions, 'optim' | 'hparams'>): TrainingModule {
  return new Module({
    ...(method.modules as Record<string, Network>),
    forward: (batch, stage, progress) => method.forward(batch, stage, progress),
    ...(method.afterStep !== undefined && {
      afterStep: (step: number, progress: StepProgress) => method.afterStep!(step, progress),
    }),
    ...options,
  })
}
