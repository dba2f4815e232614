/** Several views of the images of a batch that is already made, each by the same steps; stands under batch_transform. */
import { ComposeBatch, StackedMultiView, defineTransform, references, z, type BatchTransform } from 'stable-pretraining'

export default defineTransform({
  name: 'stacked-multi-view',
  targets: ['stable_pretraining.data.gpu_transforms.StackedMultiView'],
  description: 'Several views of each image of a batch.',
  config: z.object({
    chain: references('transform').describe('the transforms of every view, on tensors of floats'),
    nViews: z.int().min(1).default(2).describe('views of each image'),
    source: z.literal('image').default('image').describe('accepted: views are made of image'),
    viewsKey: z.literal('views').default('views').describe('accepted: they become views'),
    labelKey: z.literal('label').default('label').describe('accepted: each has the label of its image'),
  }),
  async build({ config, build }) {
    const view = new ComposeBatch(await Promise.all(config.chain.map((use) => build(use, {}))))
    return new StackedMultiView(Array<BatchTransform>(config.nViews).fill(view))
  },
})
