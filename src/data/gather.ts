/** Samples that steps have gone through, as one batch: images stacked, what was drawn stacked, however deep they lie. */
import { SptError } from '../errors.js'
import { transformBatch } from '../native.js'
import type { Tensor } from '../tensor/index.js'
import { byClip, isClip, isImage } from './clip.js'
import { collate, disposeBatch } from './collate.js'
import { batchImage, buildPipeline, isFloatImage, sampleFailed, type FloatImage } from './native-pipeline.js'
import { isNested } from './paths.js'
import { isDrawn, stackDrawn } from './records.js'
import type { ImageSource, Sample } from './sample.js'
import type { Drawn, SampleValues } from './transform.js'

/** Values of all samples as entries of the batch, however deep. */
export async function gather(all: readonly SampleValues[]): Promise<Record<string, unknown>> {
  const [first = {}] = all
  const plain = Object.keys(first).filter((key) => !isStructured(first[key]))
  const made: Record<string, unknown> = {}
  try {
    const samples = all.map((values) => Object.fromEntries(plain.map((key) => [key, values[key]])))
    Object.assign(made, collate(samples as unknown as Sample[]))
    for (const key of Object.keys(first).filter((name) => isStructured(first[name]))) {
      made[key] = await gatherKey(key, all)
    }
    return made
  } catch (error) {
    disposeBatch(made)
    throw error
  }
}

/** Images, what was drawn, and objects and lists that hold such; anything else is as the data set gave it. */
function isStructured(value: unknown): boolean {
  if (isImage(value) || isDrawn(value)) return true
  return typeof value === 'object' && value !== null && isNested(value) && Object.values(value).some(isStructured)
}

async function gatherKey(key: string, all: readonly SampleValues[]): Promise<unknown> {
  const values = all.map((sample) => sample[key])
  const missing = all.find((sample) => !isStructured(sample[key]))
  if (missing !== undefined) {
    const what = `sample ${String(missing['index'])} has no "${key}", others of its batch have one`
    throw new SptError('ERR_DATA', what, { hint: 'A step is done to some samples only; let each sample get one.' })
  }
  if (values.every(isImage)) return stackImages(key, values, all)
  if (values.every(isClip)) return stackClips(key, values, all)
  if (values.every(isDrawn)) return stackDrawn(key, values as Drawn[])
  const [first] = values
  if (!Array.isArray(first)) return gather(values as SampleValues[])
  return Promise.all(first.map((_, i) => gather(values.map((value) => (value as SampleValues[])[i] as SampleValues))))
}

async function stackClips(
  key: string,
  clips: readonly (readonly (ImageSource | FloatImage)[])[],
  all: readonly SampleValues[],
): Promise<Tensor> {
  const lengths = [...new Set(clips.map(({ length }) => length))]
  if (lengths.length > 1) {
    const message = `"${key}" has clips of ${lengths.join(' and ')} frames in one batch`
    throw new SptError('ERR_SHAPE', message, { hint: 'UniformTemporalSubsample gives all clips as many.' })
  }
  const owners = clips.flatMap((clip, place) => clip.map(() => all[place] as SampleValues))
  return byClip(await stackImages(key, clips.flat(), owners), clips.length)
}

async function stackImages(
  key: string,
  images: readonly (ImageSource | FloatImage)[],
  all: readonly SampleValues[],
): Promise<Tensor> {
  const { pipeline } = buildPipeline([], { floats: true, fromFloats: isFloatImage(images[0]) })
  const index = (i: number) => Number(all[i]?.['index'] ?? i)
  const { views, failure } = await transformBatch(
    images.map((image, i) => batchImage(image, index(i))),
    [pipeline],
    0,
    0,
    images.map(() => 0),
  )
  if (failure) throw sampleFailed({ ...failure, message: `${key}: ${failure.message}` }, all as unknown as Sample[])
  return views[0] as Tensor
}
