/** Gives a grey image three equal channels; an image that has them stays as it is. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'rgb',
  targets: ['stable_pretraining.data.transforms.RGB', 'torchvision.transforms.v2.RGB'],
  description: 'Three channels for every image.',
  config: z.object({}),
  build: () => ({ steps: [{ type: 'rgb' }] }),
})
