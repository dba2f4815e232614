/** Draws a context block and target blocks of patches for each image, as in I-JEPA; the image stays as it is. */
import { defineTransform, nn, z } from 'stable-pretraining'

const pair = z.tuple([z.number().positive(), z.number().positive()])
const four = <T>(value: T): T[] => [value, value, value, value]

export default defineTransform({
  name: 'context-targets-multi-block-mask',
  targets: ['stable_pretraining.data.transforms.ContextTargetsMultiBlockMask'],
  description: 'A context and targets in blocks of patches.',
  paper: 'Assran et al. 2023, arXiv:2301.08243',
  config: z.object({
    patchSize: z.int().min(1).default(16).describe('side of a patch in pixels'),
    contextScale: pair.default([0.85, 1]).describe('range of the share of the grid that the context takes'),
    contextAspectRatio: pair.default([1, 1]).describe('range of its height over width'),
    targetScales: z
      .array(pair)
      .min(1)
      .default(four([0.15, 0.2]))
      .describe('the same share for each target'),
    targetAspectRatios: z
      .array(pair)
      .min(1)
      .default(four([0.75, 1.5]))
      .describe('the same ratio for each target'),
    minKeep: z
      .int()
      .min(0)
      .default(10)
      .describe('patches that the context keeps at least; drawn again, at most 20 times'),
    source: z.string().default('image').describe('the image whose patches are meant'),
    targetContext: z.string().default('mask_context').describe('key of the patches of the context, int64 [batch, n]'),
    targetTargets: z
      .string()
      .default('masks_target')
      .describe(
        'key of the patches of the targets; the first is KEY_0, int64 [batch, n], cut to the shortest of a batch',
      ),
  }),
  build({ config }) {
    const { patchSize, minKeep, source } = config
    const scales = [config.contextScale, ...config.targetScales]
    const ratios = [config.contextAspectRatio, ...config.targetAspectRatios]
    return {
      steps: [
        {
          type: 'draw',
          source,
          draw({ height, width }, generator) {
            const size = [Math.floor(height / patchSize), Math.floor(width / patchSize)] as const
            const [context = [], ...targets] = nn.multiBlockMask(size, scales, ratios, generator, minKeep)
            const list = (places: readonly number[]) => ({
              data: BigInt64Array.from(places, BigInt),
              shape: [places.length],
            })
            return {
              [config.targetContext]: list(context),
              ...Object.fromEntries(targets.map((target, i) => [`${config.targetTargets}_${i}`, list(target)])),
            }
          },
        },
      ],
    }
  },
})
