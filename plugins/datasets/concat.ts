/** Data sets one after another as one. */
import { Concat, defineDataset, references, z } from 'stable-pretraining'

export default defineDataset({
  name: 'concat',
  targets: ['torch.utils.data.ConcatDataset'],
  description: 'Data sets one after another as one; their classes must be the same.',
  config: z.object({
    datasets: references('dataset').describe('the parts, in order'),
  }),
  async build({ config, root, log, build }) {
    return new Concat(await Promise.all(config.datasets.map((use) => build(use, { root, ...(log && { log }) }))))
  },
})
