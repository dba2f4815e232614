/** Puts the channels of an image in a random order. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'random-channel-permutation',
  targets: [
    'stable_pretraining.data.transforms.RandomChannelPermutation',
    'torchvision.transforms.v2.RandomChannelPermutation',
  ],
  description: 'Red, green and blue in a random order.',
  config: z.object({}),
  build: () => ({ steps: [{ type: 'random-channel-permutation' }] }),
})
