/**
 * Transforms as the native core runs them: each view's steps become a pipeline, a batch of samples its images.
 * It decides nothing about order, labels or memory; see data-loader.ts.
 */
import { SptError, show, type ErrorCode } from '../errors.js'
import { Pipeline, transformBatch, type BatchImage } from '../native.js'
import type { Tensor } from '../tensor/index.js'
import type { Batch, View } from './data-loader.js'
import { isEncoded, type ImageSource, type Sample } from './sample.js'
import { isMultiView, type MultiView, type Step, type Transform } from './transform.js'

/** The images of a batch: `image` for one view, `views` for a list, and a view under each name for a record. */
export type Images = Record<string, View> | { image: View['image'] } | { views: View[] }

export interface Pipelines {
  /** Decodes and transforms the samples off the event loop. ERR_DATA names the sample that could not be. */
  run(samples: readonly Sample[], seed: number, epoch: number): Promise<Images>
}

/** The batch: what the samples say, with each view's labels beside its images. */
export function withLabels(
  images: Images,
  label: Tensor | undefined,
  rest: { index: Tensor; [key: string]: unknown },
): Batch {
  if (label === undefined) return { ...rest, ...images }
  const labelled = (view: View): View => ({ ...view, label })
  if ('image' in images) return { ...rest, label, ...images }
  if ('views' in images && Array.isArray(images.views)) return { ...rest, label, views: images.views.map(labelled) }
  return {
    ...rest,
    label,
    ...Object.fromEntries(Object.entries(images).map(([name, view]) => [name, labelled(view as View)])),
  }
}

/** Checks the steps once, so that a wrong argument is an error before the first batch. */
export function makePipelines(transform: Transform | MultiView = { steps: [] }): Pipelines {
  const named = isMultiView(transform) ? transform.views : [transform]
  const pipelines = Object.values(named).map(({ steps }) => pipelineOf(steps))
  return {
    async run(samples, seed, epoch) {
      const { views, failure } = await transformBatch(
        samples.map(batchImage),
        pipelines,
        seed,
        epoch,
        samples.map(({ index }) => index),
      )
      if (failure) {
        const sample = samples[failure.place]
        const path =
          sample && isEncoded(sample.image) && sample.image.path !== undefined ? ` (${sample.image.path})` : ''
        throw new SptError(failure.code as ErrorCode, `sample ${sample?.index}${path}: ${failure.message}`)
      }
      const made = views.map((image) => ({ image }))
      if (!isMultiView(transform)) return made[0] as { image: View['image'] }
      if (Array.isArray(transform.views)) return { views: made }
      return Object.fromEntries(Object.keys(transform.views).map((name, i) => [name, made[i] as View]))
    },
  }
}

/** Steps work on bytes until `normalize`, or the end, makes floats of them. */
function pipelineOf(steps: readonly Step[]): Pipeline {
  const pipeline = new Pipeline()
  let floats = false
  for (const step of steps) {
    if (step.type === 'normalize' && !floats) {
      pipeline.toImage()
      floats = true
    }
    append(pipeline, step)
  }
  if (!floats) pipeline.toImage()
  return pipeline
}

function append(pipeline: Pipeline, step: Step): void {
  switch (step.type) {
    case 'resize': {
      const { size, maxSize, interpolation, antialias } = step
      if (typeof size === 'number') return pipeline.resizeEdge(size, maxSize ?? null, interpolation, antialias)
      return pipeline.resize([...size], interpolation, antialias)
    }
    case 'center-crop':
      return pipeline.centerCrop([...step.size])
    case 'random-crop':
      return pipeline.randomCrop([...step.size], [...step.padding], step.padIfNeeded, step.paddingMode, step.fill)
    case 'random-resized-crop':
      return pipeline.randomResizedCrop(
        [...step.size],
        [...step.scale],
        [...step.ratio],
        step.interpolation,
        step.antialias,
      )
    case 'random-horizontal-flip':
      return pipeline.randomHorizontalFlip(step.p)
    case 'random-vertical-flip':
      return pipeline.randomVerticalFlip(step.p)
    case 'color-jitter': {
      const range = (values: readonly number[] | null) => values && [...values]
      return pipeline.colorJitter(
        range(step.brightness),
        range(step.contrast),
        range(step.saturation),
        range(step.hue),
        step.p,
      )
    }
    case 'random-grayscale':
      return pipeline.randomGrayscale(step.p)
    case 'gaussian-blur':
      return pipeline.gaussianBlur([...step.kernelSize], [...step.sigma], step.p)
    case 'random-solarize':
      return pipeline.randomSolarize(step.threshold, step.p)
    case 'rgb':
      return pipeline.rgb()
    case 'normalize':
      return pipeline.normalize([...step.mean], [...step.std])
  }
}

function batchImage({ image, index }: Sample): BatchImage {
  // A data set of the user's own may give anything.
  const found: ImageSource | undefined = image
  if (found === undefined || found === null || !('encoded' in found || 'pixels' in found)) {
    throw new SptError(
      'ERR_DATA',
      `sample ${index}: expected an image, {encoded} or {pixels, …}, found ${show(found)}`,
      {
        hint: 'The type ImageSource says what an image can be.',
      },
    )
  }
  if (isEncoded(found)) return { data: found.encoded }
  const { pixels, offset, width, height, channels } = found
  return { data: pixels, offset, width, height, channels }
}
