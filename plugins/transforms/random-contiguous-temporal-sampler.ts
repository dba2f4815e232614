/** A stretch of so many frames of a clip at a random place. */
import { SptError, defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'random-contiguous-temporal-sampler',
  aliases: ['RandomContiguousTemporalSampler'],
  targets: ['stable_pretraining.data.transforms.RandomContiguousTemporalSampler'],
  description: 'A random stretch of a clip.',
  config: z.object({
    numFrames: z.int().min(1).describe('frames that are kept'),
    frameSubsampling: z.int().min(1).default(1).describe('every how manyth frame of the stretch is kept'),
    source: z.string().min(1).default('image').describe('where the clip is: a dotted path such as video'),
    target: z.string().min(1).optional().describe('where the result goes; default: the source'),
  }),
  build({ config: { numFrames, frameSubsampling: stride, source, target = source } }) {
    const span = (numFrames - 1) * stride + 1
    return {
      steps: [
        {
          type: 'frames',
          source,
          target,
          choose(frames, generator) {
            if (frames < span)
              throw new SptError('ERR_DATA', `a clip of ${frames} frames, a stretch of ${span} was to be taken of it`)
            const start = generator.integer(frames - span + 1)
            return {
              frames: Array.from({ length: numFrames }, (_, i) => start + i * stride),
              drawn: { RandomContiguousTemporalSampler: { data: BigInt64Array.of(BigInt(start)), shape: [] } },
            }
          },
        },
      ],
    }
  },
})
