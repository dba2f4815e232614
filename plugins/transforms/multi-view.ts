/** Several views of each image, each by a list of transforms of its own: what contrastive and distilling methods learn from. */
import { MultiViewTransform, SptError, chain, defineTransform, references, z, type Transform } from 'stable-pretraining'

export default defineTransform({
  name: 'multi-view',
  targets: ['stable_pretraining.data.transforms.MultiViewTransform'],
  description: 'Several views of each image.',
  config: z.object({
    views: z
      .union([z.array(references('transform')).min(1), z.record(z.string(), references('transform'))])
      .optional()
      .describe('the transforms of each view: a list (batch.views), or by name (batch.<name>)'),
    copies: z.int().min(1).optional().describe('instead of views: how many views all go through `steps`'),
    steps: references('transform').optional().describe('with copies: the transforms of every view'),
  }),
  async build({ config, build }) {
    const { views, copies, steps } = config
    const view = async (uses: NonNullable<typeof steps>): Promise<Transform> =>
      chain(await Promise.all(uses.map((use) => build(use, {}))))
    if (views !== undefined && copies === undefined && steps === undefined) {
      if (Array.isArray(views)) return new MultiViewTransform(await Promise.all(views.map(view)))
      const named = await Promise.all(
        Object.entries(views).map(async ([name, uses]) => [name, await view(uses)] as const),
      )
      return new MultiViewTransform(Object.fromEntries(named))
    }
    if (views === undefined && copies !== undefined && steps !== undefined) {
      return new MultiViewTransform(Array<Transform>(copies).fill(await view(steps)))
    }
    throw new SptError('ERR_ARGUMENT', 'multi-view: expected either views, or copies and steps', {
      hint: 'For two views made alike: {type: multi-view, copies: 2, steps: [...]}',
    })
  },
})
