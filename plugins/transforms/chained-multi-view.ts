/** Views of the images of a batch that is already made, each by transforms of its own; stands under batch_transform. */
import { ComposeBatch, StackedMultiView, defineTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'chained-multi-view',
  targets: ['stable_pretraining.data.gpu_transforms.MultiView'],
  description: 'Views of each image of a batch, each by a chain of its own.',
  config: z.object({
    chains: z.array(references('transform')).min(1).describe('the transforms of each view, on tensors of floats'),
    source: z.literal('image').default('image').describe('accepted: views are made of image'),
    viewsKey: z.literal('views').default('views').describe('accepted: they become views'),
    labelKey: z.literal('label').default('label').describe('accepted: each has the label of its image'),
  }),
  async build({ config: { chains }, build }) {
    const views = chains.map(async (uses) => new ComposeBatch(await Promise.all(uses.map((use) => build(use, {})))))
    return new StackedMultiView(await Promise.all(views))
  },
})
