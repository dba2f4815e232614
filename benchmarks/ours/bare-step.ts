/** The step of the run of `run-overhead` without the run: the same network, one batch that is there already, no trainer. */
import * as sp from 'stable-pretraining'
import { loadConfig } from '../../src/app/config.js'
import { runContainer, services } from '../../src/app/run.js'
import type { Case } from '../harness/cases.js'
import type { Setting } from '../harness/options.js'
import { configuration } from '../run/configuration.js'
import type { Work } from './program.js'

export async function bareStep({ images }: Case & { kind: 'run' }, { threads, device }: Setting): Promise<Work> {
  const file = configuration({ images, threads, device, probes: false })
  // No callbacks: the one that listens to the bench would take its words from this program.
  const run = runContainer(await loadConfig(file, ['callbacks=[]']), { path: '', id: '', lastCheckpoint: '' })
  const [module, data] = [await run.get(services.module), await run.get(services.data)]
  const batch = await firstOf(data.train as sp.DataLoader)
  const optimizer = new sp.SGD([{ params: module.parameters() }], { lr: 0.1, momentum: 0.9, weightDecay: 1e-6 })
  module.train()
  return {
    run: () =>
      sp.scope(async () => {
        const { loss } = (await module.forward(batch, 'fit')) as { loss: sp.Tensor }
        loss.backward()
        optimizer.step()
        optimizer.zeroGrad()
      }),
  }
}

async function firstOf(loader: sp.DataLoader): Promise<sp.Batch> {
  for await (const batch of loader) return batch
  throw new Error('the loader gave no batch')
}
