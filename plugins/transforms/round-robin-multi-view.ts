/** One transform a view, in turns: for samples that come several times in a row, as a repeating sampler gives them. */
import { RoundRobinMultiViewTransform, chain, defineTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'round-robin-multi-view',
  aliases: ['RoundRobinMultiViewTransform'],
  targets: ['stable_pretraining.data.transforms.RoundRobinMultiViewTransform'],
  description: 'Transforms in turns, one a sample.',
  config: z.object({
    transforms: z
      .array(references('transform'))
      .min(1)
      .describe('the first sample by the first, the second by the second, …'),
  }),
  async build({ config, build }) {
    const views = config.transforms.map(async (uses) => chain(await Promise.all(uses.map((use) => build(use, {})))))
    return new RoundRobinMultiViewTransform(await Promise.all(views))
  },
})
