/** Another data set with columns renamed or removed. */
import { defineDataset, reference, withColumns, z } from 'stable-pretraining'

export default defineDataset({
  name: 'columns',
  description: 'Another data set whose samples have columns renamed, then some removed.',
  config: z.object({
    dataset: reference('dataset').describe('the data set'),
    rename: z.record(z.string(), z.string()).default({}).describe('old name to new name'),
    remove: z.array(z.string()).default([]).describe('columns left out, after renaming'),
  }),
  async build({ config, root, log, build }) {
    return withColumns(await build(config.dataset, { root, ...(log && { log }) }), config)
  },
})
