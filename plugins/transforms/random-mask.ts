/** Draws which patches of an image an encoder sees, as in masked autoencoders; the image stays as it is. */
import { defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'random-mask',
  targets: ['stable_pretraining.data.transforms.RandomMask'],
  description: 'Visible and hidden patches at random.',
  paper: 'He et al. 2022, arXiv:2111.06377',
  config: z.object({
    patchSize: z.int().min(1).default(16).describe('side of a patch in pixels'),
    maskRatio: z.number().min(0).max(1).default(0.75).describe('share of the patches that are hidden'),
    source: z.string().default('image').describe('the image whose patches are meant'),
    targetVisible: z.string().default('mask_visible').describe('key of the visible patches, int64 [batch, kept]'),
    targetMasked: z.string().default('mask_masked').describe('key of the hidden patches, int64 [batch, hidden]'),
    targetIdsRestore: z
      .string()
      .default('ids_restore')
      .describe('key of the places in the drawn order, int64 [batch, patches]'),
    targetLenKeep: z.string().default('len_keep').describe('key of the number of visible patches, int64 [batch]'),
  }),
  build({ config }) {
    const { patchSize, maskRatio, source } = config
    return {
      steps: [
        {
          type: 'draw',
          source,
          draw({ height, width }, generator) {
            const patches = Math.floor(height / patchSize) * Math.floor(width / patchSize)
            const keep = Math.floor(patches * (1 - maskRatio))
            const order = generator.permutation(patches)
            const restore = new BigInt64Array(patches)
            for (const [place, patch] of order.entries()) restore[patch] = BigInt(place)
            const list = (places: readonly number[]) => ({
              data: BigInt64Array.from(places, BigInt),
              shape: [places.length],
            })
            return {
              [config.targetVisible]: list(order.slice(0, keep)),
              [config.targetMasked]: list(order.slice(keep)),
              [config.targetIdsRestore]: { data: restore, shape: [patches] },
              [config.targetLenKeep]: { data: BigInt64Array.of(BigInt(keep)), shape: [] },
            }
          },
        },
      ],
    }
  },
})
