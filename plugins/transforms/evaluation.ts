/** The one plain view that images are evaluated by: resized, the middle cut out, normalised. */
import { defineTransform, normalizeSteps, sizeOf, viewOptions, z, type Step } from 'stable-pretraining'

export default defineTransform({
  name: 'evaluation',
  description: 'The plain view of evaluation: resize, middle, normalise.',
  config: z.object({
    size: z.int().min(1).describe('side of the view in pixels'),
    resize: z
      .int()
      .min(1)
      .optional()
      .describe('shorter side before the middle is cut out, in pixels; by default 8/7 of size, as 256 for 224'),
    ...viewOptions.pixels('ImageNet'),
  }),
  build({ config }) {
    const { size, resize = Math.round((size * 8) / 7) } = config
    const steps: Step[] = [
      { type: 'resize', size: resize, interpolation: 'bilinear', antialias: true },
      { type: 'center-crop', size: sizeOf(size) },
      ...(config.rgb ? [{ type: 'rgb' } as const] : []),
      ...normalizeSteps('evaluation', config),
    ]
    return { steps }
  },
})
