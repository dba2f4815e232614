/** So many frames of a clip, evenly spread from its first to its last. */
import { defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'uniform-temporal-subsample',
  aliases: ['UniformTemporalSubsample'],
  targets: ['stable_pretraining.data.transforms.UniformTemporalSubsample'],
  description: 'Frames of a clip, evenly spread.',
  config: z.object({
    numSamples: z.int().min(1).describe('frames that are kept; of a shorter clip some stand several times'),
    temporalDim: z.int().default(-3).describe('accepted, without effect: a clip is a list of frames'),
    source: z.string().min(1).default('image').describe('where the clip is: a dotted path such as video'),
    target: z.string().min(1).optional().describe('where the result goes; default: the source'),
  }),
  build({ config: { numSamples, source, target = source } }) {
    const choose = (frames: number) => ({
      frames: Array.from({ length: numSamples }, (_, i) =>
        Math.floor((i * (frames - 1)) / Math.max(1, numSamples - 1)),
      ),
    })
    return { steps: [{ type: 'frames', source, target, choose }] }
  },
})
