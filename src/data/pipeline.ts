/**
 * Samples into a batch. Where a transform is steps on images alone, each view is one native pipeline and a batch one call;
 * anything else is run step by step, see sample-steps.ts. Both draw the same numbers.
 */
import { transformBatch } from '../native.js'
import type { Tensor } from '../tensor/index.js'
import { collate, disposeBatch } from './collate.js'
import type { Batch, View } from './data-loader.js'
import { isImageStep, type ImageStep } from './image-steps.js'
import { batchImage, buildPipeline, sampleFailed, type BatchPlace, type BuiltPipeline } from './native-pipeline.js'
import { recordColumns } from './records.js'
import type { Sample } from './sample.js'
import { runSteps } from './sample-steps.js'
import { chain, isMultiView, type MultiView, type Step, type Transform } from './transform.js'

export interface Pipelines {
  /** Decodes, transforms and collates the samples off the event loop. A `SampleFailure` tells the sample that could not be. */
  makeBatch(samples: readonly Sample[], place: BatchPlace): Promise<Batch>
}

/** Checks the steps once, so that a wrong argument is an error before the first batch. */
export function makePipelines(transform: Transform | MultiView = { steps: [] }): Pipelines {
  const views = isMultiView(transform) ? transform.views : [transform]
  const transforms = Object.values(views)
  if (!transforms.every(({ steps }) => steps.every(isPlain))) {
    const run = runSteps(chain([transform]).steps)
    return { makeBatch: run }
  }
  const built = transforms.map(({ steps }) => buildPipeline(steps as readonly ImageStep[], { floats: true }))
  let stepwise: ReturnType<typeof runSteps> | undefined
  return {
    async makeBatch(samples, place) {
      // Clips hold several images each.
      if (samples.some(({ image }) => Array.isArray(image)))
        return (stepwise ??= runSteps(chain([transform]).steps))(samples, place)
      const { label, ...rest } = collate(samples)
      try {
        return withLabels(await transformed(samples, built, transform, place), label, rest)
      } catch (error) {
        disposeBatch([label, rest])
        throw error
      }
    },
  }
}

async function transformed(
  samples: readonly Sample[],
  built: readonly BuiltPipeline[],
  transform: Transform | MultiView,
  { seed, epoch, numbers }: BatchPlace,
): Promise<Images> {
  const { views, records, recorded, failure } = await transformBatch(
    samples.map(({ image, index }) => batchImage(image, index)),
    built.map(({ pipeline }) => pipeline),
    seed,
    epoch,
    [...(numbers ?? samples.map(({ index }) => index))],
  )
  if (failure) throw sampleFailed(failure, samples)
  const made = views.map((image, i) => {
    const { keys } = built[i] as BuiltPipeline
    return { image, ...recordColumns(records[i] as Float64Array, recorded[i] ?? [], keys, samples.length) }
  })
  if (!isMultiView(transform)) return made[0] as View
  if (Array.isArray(transform.views)) return { views: made }
  return Object.fromEntries(Object.keys(transform.views).map((name, i) => [name, made[i] as View]))
}

/** One view, `views` for a list, and a view under each name for a record. */
type Images = View | { views: View[] } | Record<string, View>

/** The batch: what the samples say, with each view's labels beside its images. */
function withLabels(images: Images, label: Tensor | undefined, rest: { index: Tensor; [key: string]: unknown }): Batch {
  const labels = label === undefined ? {} : { label }
  const labelled = (view: View): View => ({ ...view, ...labels })
  if (!('image' in images)) {
    const views = 'views' in images && Array.isArray(images.views) ? images.views.map(labelled) : undefined
    if (views !== undefined) return { ...rest, ...labels, views }
    const named = Object.entries(images).map(([name, view]) => [name, labelled(view as View)] as const)
    return { ...rest, ...labels, ...Object.fromEntries(named) }
  }
  return { ...rest, ...labels, ...(images as View) }
}

/** Whether a step is done to the image of a sample, in its place, by the core. */
function isPlain(step: Step): boolean {
  if (!isImageStep(step)) return false
  return [step.source, step.target].every((path) => path === undefined || path === 'image')
}
