/** Views in a row as one tensor, those of an image together; and which images of a batch belong together. */
import { Collator, defineCollator, z } from 'stable-pretraining'

export default defineCollator({
  name: 'collator',
  aliases: ['Collator'],
  targets: ['stable_pretraining.data.Collator', 'stable_pretraining.data.collate.Collator'],
  description: 'Views in one tensor, and the relation G between its images.',
  config: z.object({
    gFrom: z
      .string()
      .min(1)
      .optional()
      .describe('adds G: where the integers under this key are equal, or the products of its vectors'),
  }),
  build: ({ config: { gFrom } }) => new Collator(gFrom === undefined ? {} : { gFrom }).collate,
})
