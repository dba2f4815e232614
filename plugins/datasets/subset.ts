/** Some samples of another data set: named, or a range. */
import { SptError, Subset, defineDataset, reference, z } from 'stable-pretraining'

export default defineDataset({
  name: 'subset',
  targets: ['torch.utils.data.Subset', 'stable_pretraining.data.Subset'],
  description: 'Some samples of another data set.',
  config: z.object({
    dataset: reference('dataset').describe('the whole'),
    indices: z.array(z.int().min(0)).min(1).optional().describe('places in it, in this order'),
    start: z.int().min(0).optional().describe('instead of indices: the first place of a range; default 0'),
    stop: z.int().min(1).optional().describe('with start: the place after its last; default: the end'),
  }),
  async build({ config, root, log, build }) {
    const { indices, start, stop } = config
    const dataset = await build(config.dataset, { root, ...(log && { log }) })
    if (indices !== undefined) {
      if (start !== undefined || stop !== undefined)
        throw new SptError('ERR_ARGUMENT', 'subset: indices stand beside start or stop', { hint: 'Give either.' })
      return new Subset(dataset, indices)
    }
    const [from, to] = [start ?? 0, Math.min(stop ?? dataset.length, dataset.length)]
    if (to <= from)
      throw new SptError(
        'ERR_ARGUMENT',
        `subset: from ${from} to ${to} there are no samples, the whole has ${dataset.length}`,
      )
    return new Subset(
      dataset,
      Uint32Array.from({ length: to - from }, (_, i) => from + i),
    )
  },
})
