/**
 * What a data set yields: samples, each an image that is not decoded yet and what is known about it.
 * It is not how samples become batches; see data-loader.ts.
 */
import { SptError } from '../errors.js'

/** The bytes of an image file (JPEG, PNG, WebP, GIF or BMP), decoded when its batch is made. */
export interface EncodedImage {
  readonly encoded: Uint8Array
  /** Named in errors. */
  readonly path?: string
}

/**
 * Raw pixels inside a larger array: rows from the top, channels interleaved (HWC), one byte a channel.
 * The image is `pixels[offset .. offset + height * width * channels]`; nothing is copied until its batch is made.
 */
export interface RawImage {
  readonly pixels: Uint8Array
  /** Bytes before the first pixel. */
  readonly offset: number
  readonly width: number
  readonly height: number
  /** 1 (grey) or 3 (red, green, blue). */
  readonly channels: number
}

export type ImageSource = EncodedImage | RawImage

/** Frames of a film, all of one size, in their order: a batch of them is [batch, frame, channel, height, width]. */
export type Clip = readonly ImageSource[]

export interface Sample {
  readonly image: ImageSource | Clip
  /** Class number, from 0. */
  readonly label?: number
  /** Its place in the data set it comes from. Augmentation is a function of (seed, epoch, index, view). */
  readonly index: number
  /** Anything else: numbers, or lists of as many, become a float32 tensor of the batch, bigints int64, the rest an array. */
  readonly [key: string]: unknown
}

/** Samples by position. Any object with `length` and `get` is one. */
export interface Dataset {
  readonly name: string
  readonly length: number
  /** Names of the classes; `classes[label]`. */
  readonly classes?: readonly string[]
  /** The class number of every sample, where they are known without reading samples. */
  readonly labels?: ArrayLike<number> | undefined
  /** The sample at 0 <= index < length. */
  get(index: number): Sample | Promise<Sample>
  /** Every index once in a random order that this data set reads fast, by (seed, epoch) alone; what `shuffle` then uses. */
  shuffled?(seed: number, epoch: number): ArrayLike<number>
}

/** The image itself, or of a clip the frame in the middle. */
export function pictureOf(image: ImageSource | Clip): ImageSource {
  if ('encoded' in image || 'pixels' in image) return image
  const frame = image[Math.floor(image.length / 2)]
  if (frame === undefined) throw new SptError('ERR_DATA', 'a clip without frames')
  return frame
}

export function isEncoded(image: ImageSource | Clip): image is EncodedImage {
  return 'encoded' in image
}
