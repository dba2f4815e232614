/** What every transform of images understands besides its own options: where in a sample the image is, and where it goes. */
import { z } from 'zod'
import { argumentInvalid } from '../errors.js'
import { isImageStep, type MultiView, type Transform } from '../data/index.js'

const path = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])

const places = {
  source: path
    .default('image')
    .describe('where the image is: a dotted path such as views.0.image, or several that share what is drawn'),
  target: path.optional().describe('where the result goes; default: the source'),
}

/** The schema with these options added. */
export function withPlaces<Schema extends z.ZodObject>(schema: Schema): Schema {
  return schema.extend(places) as unknown as Schema
}

/** Takes these options out of a parsed config and moves the steps that the rest makes to those places. */
export function atPlaces(
  { source, target, ...config }: Record<string, unknown>,
  build: (config: Record<string, unknown>) => Transform | MultiView,
): Transform {
  const built = build(config)
  if (!('steps' in built)) throw argumentInvalid('defineImageTransform build', 'steps', built)
  const isDefault = source === 'image' && target === undefined
  if (isDefault) return built
  const steps = built.steps.map((step, at) => {
    if (!isImageStep(step)) throw argumentInvalid('defineImageTransform build', 'steps of images alone', step.type)
    const goes = (target ?? source) as string | string[]
    // The first step takes the image from its place; those after it find it where the result goes.
    return { ...step, source: (at === 0 ? source : goes) as string | string[], target: goes }
  })
  return { steps }
}
