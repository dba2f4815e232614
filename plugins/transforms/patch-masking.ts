/** Hides a share of the patches of an image; which ones stay is in the batch. */
import { defineImageTransform, z } from 'stable-pretraining'

export default defineImageTransform({
  name: 'patch-masking',
  targets: ['stable_pretraining.data.transforms.PatchMasking'],
  description: 'Random patches hidden.',
  config: z.object({
    patchSize: z.int().min(1).default(16).describe('side of a patch in pixels'),
    dropRatio: z
      .number()
      .min(0)
      .max(1)
      .default(0.5)
      .describe('share of the patches that are hidden, their number rounded down'),
    fillValue: z.number().nullable().default(null).describe('what hidden patches show, in [0, 1]; default 0'),
    maskKey: z
      .string()
      .min(1)
      .default('patch_mask')
      .describe('key of the truth values [rows, columns] in the batch; true: kept'),
  }),
  build({ config: { patchSize, dropRatio, fillValue, maskKey } }) {
    // As in stable-pretraining the image is floats of 0..1 from here on.
    return {
      steps: [
        { type: 'to-image' },
        { type: 'patch-masking', patchSize, dropRatio, fillValue: fillValue ?? 0, recordAs: maskKey },
      ],
    }
  },
})
