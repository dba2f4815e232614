/** Does nothing: batches go to the trainer's device by themselves. For configurations that say so anyway. */
import { defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'to-device',
  aliases: ['ToDevice'],
  targets: ['stable_pretraining.data.gpu_transforms.ToDevice'],
  description: 'Accepted for what upstream writes: a batch is brought to the device of the run in any case.',
  config: z.object({
    device: z.string().nullable().default(null).describe('accepted, without effect: the device is that of the run'),
    nonBlocking: z.boolean().default(true).describe('accepted, without effect'),
  }),
  build: () => ({ steps: [] }),
})
