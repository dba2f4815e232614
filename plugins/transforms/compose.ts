/** Transforms one after another as one. */
import { ComposeBatch, compose, defineTransform, isBatchTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'compose',
  targets: [
    'stable_pretraining.data.gpu_transforms.GPUCompose',
    'stable_pretraining.data.transforms.Compose',
    'torchvision.transforms.v2.Compose',
    'torchvision.transforms.Compose',
  ],
  description: 'Several transforms as one.',
  config: z.object({
    transforms: references('transform').describe('done one after the other'),
    compile: z.boolean().default(true).describe('accepted, without effect: nothing is compiled'),
    compileMode: z.string().nullable().default(null).describe('accepted, without effect'),
    dynamic: z.boolean().default(false).describe('accepted, without effect'),
  }),
  async build({ config, build }) {
    const transforms = await Promise.all(config.transforms.map((use) => build(use, {})))
    return transforms.some(isBatchTransform) ? new ComposeBatch(transforms) : compose(transforms)
  },
})
