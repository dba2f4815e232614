/** Transforms one after another as one. */
import { compose, defineTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'compose',
  targets: [
    'stable_pretraining.data.transforms.Compose',
    'torchvision.transforms.v2.Compose',
    'torchvision.transforms.Compose',
  ],
  description: 'Several transforms as one.',
  config: z.object({ transforms: references('transform').describe('done one after the other') }),
  build: async ({ config, build }) => compose(await Promise.all(config.transforms.map((use) => build(use, {})))),
})
