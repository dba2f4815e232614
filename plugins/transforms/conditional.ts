/** Does a transform to those samples only that have a value, such as a flag of the data set or what was drawn before. */
import { Conditional, chain, defineTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'conditional',
  targets: ['stable_pretraining.data.transforms.Conditional'],
  description: 'A transform for some of the samples.',
  config: z.object({
    transform: references('transform').describe('what is done to them'),
    conditionKey: z.string().min(1).describe('path of the value that decides, such as RandomHorizontalFlip'),
    applyOnTrue: z.boolean().default(true).describe('done where the value is true; false: where it is not'),
  }),
  async build({ config: { transform, conditionKey, applyOnTrue }, build }) {
    const steps = chain(await Promise.all(transform.map((use) => build(use, {}))))
    return new Conditional(steps, conditionKey, applyOnTrue)
  },
})
