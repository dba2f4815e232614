/** Clips, lists of frames, among images: taken apart for what works on images, and put together again. */
import { SptError, errorCode, reason, show } from '../errors.js'
import type { MadeImage } from '../native.js'
import { scope, type Generator, type Tensor } from '../tensor/index.js'
import type { FloatImage } from './native-pipeline.js'
import type { ImageSource } from './sample.js'
import type { Drawn, SampleStep } from './transform.js'

export const isImage = (value: unknown): value is ImageSource | FloatImage =>
  typeof value === 'object' && value !== null && ('pixels' in value || 'encoded' in value)

export const isClip = (value: unknown): value is readonly (ImageSource | FloatImage)[] =>
  Array.isArray(value) && value.length > 0 && value.every(isImage)

/** An image that the core made, as the steps after it find it. */
export const inMemory = ({ data: pixels, width, height, channels }: MadeImage) => ({
  pixels,
  offset: 0,
  width,
  height,
  channels,
})

/** All images, those of a clip one after another, and for each the place of the value that it belongs to. */
export function framesOf(values: readonly unknown[]): { images: unknown[]; owners: number[] } {
  const images = values.flatMap((value): unknown[] => (isClip(value) ? [...value] : [value]))
  const owners = values.flatMap((value, place) => (isClip(value) ? value.map(() => place) : [place]))
  return { images, owners }
}

/** What became of the images of `framesOf(values)`: a list where the value was a clip. */
export function restored<T>(made: readonly T[], owners: readonly number[], values: readonly unknown[]): (T | T[])[] {
  const found = values.map((): T[] => [])
  for (const [i, owner] of owners.entries()) found[owner]?.push(made[i] as T)
  return found.map((images, place) => (isClip(values[place]) ? images : (images[0] as T)))
}

/** [clips · frames, …] as [clips, frames, …]; the given tensor is not used any more. */
export function byClip(frames: Tensor, clips: number): Tensor {
  const [count = 0, ...rest] = frames.shape
  const clipped = scope(() => frames.reshape([clips, count / clips, ...rest])).keep()
  frames.dispose()
  return clipped
}

/** The frames that a step chooses of a clip, and what it drew. ERR_DATA names the sample that has none, or too few. */
export function chooseFrames(
  { source, choose }: Extract<SampleStep, { type: 'frames' }>,
  clip: unknown,
  generator: Generator,
  index: number,
): { frames: unknown[]; drawn: Record<string, Drawn> } {
  if (!isClip(clip)) {
    const message = `sample ${index}: expected a clip, a list of images, as ${source}, found ${show(clip)}`
    throw new SptError('ERR_DATA', message)
  }
  try {
    const { frames, drawn = {} } = choose(clip.length, generator)
    return { frames: frames.map((frame) => clip[frame]), drawn }
  } catch (cause) {
    throw new SptError(errorCode(cause) ?? 'ERR_DATA', `sample ${index}: ${reason(cause)}`, { cause })
  }
}
