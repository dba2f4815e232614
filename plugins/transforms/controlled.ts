/** Draws the same numbers for a sample in every epoch and view: they follow from its number alone. */
import { ControlledTransform, chain, defineTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'controlled',
  aliases: ['ControlledTransform'],
  targets: ['stable_pretraining.data.transforms.ControlledTransform'],
  description: 'The same random numbers for a sample each time.',
  config: z.object({
    transform: references('transform').describe('what is done by those numbers'),
    seedOffset: z.int().min(0).default(0).describe('added to the number: another offset draws others'),
    key: z.string().min(1).default('index').describe('path of the number of a sample'),
  }),
  async build({ config: { transform, seedOffset, key }, build }) {
    const steps = chain(await Promise.all(transform.map((use) => build(use, {}))))
    return new ControlledTransform(steps, { seedOffset, key })
  },
})
