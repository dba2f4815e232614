/** One part of another data set that is split at random: the same seed gives parts that do not overlap. */
import { SptError, defineDataset, randomSplit, reference, z } from 'stable-pretraining'

export default defineDataset({
  name: 'random-split',
  description: 'One part of another data set split at random; parts of the same seed do not overlap.',
  config: z.object({
    dataset: reference('dataset').describe('the whole'),
    lengths: z
      .array(z.number().min(0))
      .min(1)
      .describe(
        'lengths that sum to the whole, or fractions that sum to 1, of which the first parts take the remainder',
      ),
    part: z.int().min(0).describe('which of them, from 0'),
    seed: z.int().min(0).default(0).describe('of the split'),
  }),
  async build({ config, root, log, build }) {
    const { lengths, part, seed } = config
    const dataset = await build(config.dataset, { root, ...(log && { log }) })
    const chosen = randomSplit(dataset, lengths, seed)[part]
    if (chosen === undefined)
      throw new SptError('ERR_ARGUMENT', `random-split: part ${part} of ${lengths.length}, counted from 0`)
    return chosen
  },
})
