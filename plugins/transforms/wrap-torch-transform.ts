/** Another transform of images at another place of the sample. */
import { WrapTorchTransform, chain, defineTransform, references, z } from 'stable-pretraining'

const path = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])

export default defineTransform({
  name: 'wrap-torch-transform',
  aliases: ['WrapTorchTransform'],
  targets: ['stable_pretraining.data.transforms.WrapTorchTransform'],
  description: 'A transform at another place of the sample.',
  config: z.object({
    transform: references('transform').describe('transforms of images'),
    source: path.default('image').describe('path of the image, or several that share what is drawn'),
    target: path.optional().describe('where the result goes; default: the source'),
  }),
  async build({ config: { transform, source, target = source }, build }) {
    return new WrapTorchTransform(chain(await Promise.all(transform.map((use) => build(use, {})))), { source, target })
  },
})
