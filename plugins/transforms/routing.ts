/** Sends each sample through the transform that a value of it names. */
import { RoutingTransform, SptError, chain, defineTransform, references, z } from 'stable-pretraining'

export default defineTransform({
  name: 'routing',
  aliases: ['RoutingTransform'],
  description: 'A transform chosen by a value of the sample.',
  config: z.object({
    key: z.string().min(1).describe('value of the sample that names its transform, such as label or a column'),
    transforms: z.record(z.string(), references('transform')).describe('transforms by the value they are for'),
  }),
  async build({ config: { key, transforms }, build }) {
    const routes = await Promise.all(
      Object.entries(transforms).map(async ([name, uses]) => {
        return [name, chain(await Promise.all(uses.map((use) => build(use, {}))))] as const
      }),
    )
    const route = (sample: Record<string, unknown>) => {
      const value = sample[key]
      if (typeof value === 'string' || typeof value === 'number') return value
      throw new SptError('ERR_DATA', `routing: sample ${String(sample['index'])} has no text or number as "${key}"`)
    }
    return new RoutingTransform(route, Object.fromEntries(routes))
  },
})
