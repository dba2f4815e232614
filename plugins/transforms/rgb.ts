/** Gives a grey image three equal channels; an image that has them stays as it is. */
import { defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'rgb',
  targets: ['stable_pretraining.data.transforms.RGB', 'torchvision.transforms.v2.RGB'],
  description: 'Three channels for every image.',
  config: z.object({}),
  build: () => ({ steps: [{ type: 'rgb' }] }),
})
