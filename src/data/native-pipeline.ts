/** Steps, images and failures as the native core takes and gives them. */
import { SptError, show, type ErrorCode } from '../errors.js'
import { Pipeline, type BatchFailure, type BatchImage } from '../native.js'
import { addStep, type ImageStep } from './image-steps.js'
import { isEncoded, type ImageSource, type Sample } from './sample.js'

/** Which random numbers a batch takes, and where it stands: its first sample is number `start` of the epoch. */
export interface BatchPlace {
  readonly seed: number
  readonly epoch: number
  readonly start: number
  /** What decides, beside seed and epoch, what is drawn for each sample; default: its index. */
  readonly numbers?: readonly number[] | undefined
}

/** An image in memory between two steps: bytes, or floats after `to-image`; rows from the top, channels interleaved. */
export interface FloatImage {
  readonly pixels: Float32Array
  readonly offset: number
  readonly width: number
  readonly height: number
  readonly channels: number
}

export const isFloatImage = (image: unknown): image is FloatImage =>
  (image as Partial<FloatImage> | undefined)?.pixels instanceof Float32Array

/** A native pipeline and the key that each of its steps records under, where it was given one. */
export interface BuiltPipeline {
  readonly pipeline: Pipeline
  readonly keys: (string | undefined)[]
}

/** Steps work on bytes until `to-image` or `normalize` makes floats of them; `floats`: the end does so in any case. */
export function buildPipeline(
  steps: readonly ImageStep[],
  { floats, fromFloats = false }: { floats: boolean; fromFloats?: boolean },
): BuiltPipeline {
  const pipeline = new Pipeline(fromFloats)
  const keys: (string | undefined)[] = []
  let made = fromFloats
  const toImage = () => {
    if (made) return
    pipeline.toImage()
    keys.push(undefined)
    made = true
  }
  for (const step of steps) {
    if (step.type === 'normalize' || step.type === 'to-image') toImage()
    if (step.type === 'to-image') continue
    addStep(pipeline, step)
    keys.push(step.recordAs)
  }
  if (floats) toImage()
  return { pipeline, keys }
}

/** What went wrong with one sample of a batch. */
export class SampleFailure extends SptError {
  /** As it was handed in. */
  readonly sample: Sample | undefined

  constructor(sample: Sample | undefined, code: ErrorCode, message: string) {
    super(code, message)
    this.sample = sample
  }
}

export function sampleFailed({ place, code, message }: BatchFailure, samples: readonly Sample[]): SampleFailure {
  const sample = samples[place]
  const image = sample?.image
  const path = image !== undefined && isEncoded(image) && image.path !== undefined ? ` (${image.path})` : ''
  return new SampleFailure(sample, code as ErrorCode, `sample ${sample?.index}${path}: ${message}`)
}

/** An image as the core takes it. ERR_DATA where it is none: a data set of the user's own may give anything. */
export function batchImage(found: ImageSource | FloatImage | unknown, index: number): BatchImage {
  if (typeof found !== 'object' || found === null || !('encoded' in found || 'pixels' in found)) {
    throw new SptError(
      'ERR_DATA',
      `sample ${index}: expected an image, {encoded} or {pixels, …}, found ${show(found)}`,
      {
        hint: 'The type ImageSource says what an image can be.',
      },
    )
  }
  const image = found as ImageSource | FloatImage
  if ('encoded' in image) return { data: image.encoded }
  const { pixels, offset = 0, width, height, channels } = image
  return { data: pixels, offset, width, height, channels }
}
