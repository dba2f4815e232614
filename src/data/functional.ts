/**
 * Operations on images as tensors with every number given, equal to torchvision.transforms.v2.functional and named as there.
 *
 * An image is uint8 (0..255) or float32 (0..1), [..., channel, height, width], with one or three channels where colours are
 * meant. They run at once on the calling thread, float32 images on a GPU there, and record no gradient. What is drawn at random are
 * transforms.
 */
import { argumentInvalid, SptError } from '../errors.js'
import { Pipeline } from '../native.js'
import { cat, scope, type Tensor } from '../tensor/index.js'
import { type Interpolation, type Size, sizeOf } from './transform.js'

/** One value for all channels, or a value a channel; uint8 in 0..255, float32 in its own units. */
export type Fill = number | readonly number[]

export interface WarpOptions {
  /** Default nearest. */
  readonly interpolation?: 'nearest' | 'bilinear'
  /** What lies outside; null (the default) blends the edge towards zeros. */
  readonly fill?: Fill | null
  /** [x, y] in pixels; default: the middle. */
  readonly center?: readonly [x: number, y: number] | null
}

export interface ResizeOptions {
  /** Default bilinear. */
  readonly interpolation?: Interpolation
  /** Averages over the pixels that shrink to one. Default true; without meaning for the nearest modes. */
  readonly antialias?: boolean
}

export type PaddingMode = 'constant' | 'edge' | 'reflect' | 'symmetric'

/** To [height, width], or until the shorter edge is `size` (the other floored) and the longer at most `maxSize`. */
export function resize(
  image: Tensor,
  size: number | Size,
  { interpolation = 'bilinear', antialias = true, maxSize }: ResizeOptions & { maxSize?: number | null } = {},
): Tensor {
  return run(image, (pipeline) => {
    if (typeof size === 'number') pipeline.resizeEdge(size, maxSize ?? null, interpolation, antialias)
    else pipeline.resize([...size], interpolation, antialias)
  })
}

/** The window of that place and size; what lies outside the image is 0. */
export function crop(image: Tensor, top: number, left: number, height: number, width: number): Tensor {
  return run(image, (pipeline) => pipeline.crop(top, left, height, width))
}

/** The middle; a side that is smaller is padded with 0 first. */
export function centerCrop(image: Tensor, size: number | Size): Tensor {
  return run(image, (pipeline) => pipeline.centerCrop([...sizeOf(size)]))
}

/** The window of that place and size, resized. */
export function resizedCrop(
  image: Tensor,
  top: number,
  left: number,
  height: number,
  width: number,
  size: number | Size,
  { interpolation = 'bilinear', antialias = true }: ResizeOptions = {},
): Tensor {
  return run(image, (pipeline) =>
    pipeline.resizedCrop(top, left, height, width, [...sizeOf(size)], interpolation, antialias),
  )
}

/** Pixels added on all sides, on [left and right, top and bottom], or at [left, top, right, bottom]. */
export function pad(
  image: Tensor,
  padding: number | readonly number[],
  { fill = 0, paddingMode = 'constant' }: { fill?: Fill; paddingMode?: PaddingMode } = {},
): Tensor {
  const sides = paddingSides(padding)
  const values = typeof fill === 'number' ? [fill] : fill
  const [first = 0] = values
  if (values.length === 1) return run(image, (pipeline) => pipeline.pad([...sides], paddingMode, first))
  const channels = image.shape.at(-3)
  if (paddingMode !== 'constant' || values.length !== channels) {
    throw argumentInvalid('pad fill', `one value, or ${channels} with padding mode constant`, fill)
  }
  const parts = values.map((value, channel) => pad(image.narrow(-3, channel, 1), padding, { fill: value }))
  return cat(parts, -3)
}

/** One number for all sides, two for [left and right, top and bottom], or [left, top, right, bottom]. */
export function paddingSides(padding: number | readonly number[]): [number, number, number, number] {
  const [left = 0, top = left, right = left, bottom = top] = typeof padding === 'number' ? [padding] : padding
  return [left, top, right, bottom]
}

export function horizontalFlip(image: Tensor): Tensor {
  return run(image, (pipeline) => pipeline.randomHorizontalFlip(1))
}

export function verticalFlip(image: Tensor): Tensor {
  return run(image, (pipeline) => pipeline.randomVerticalFlip(1))
}

/** Turned counter-clockwise by `angle` degrees; `expand` shows all of the result. */
export function rotate(
  image: Tensor,
  angle: number,
  { expand = false, ...options }: WarpOptions & { expand?: boolean } = {},
): Tensor {
  const { center, method, fill } = warp(options)
  return run(image, (pipeline) => pipeline.randomRotation([angle, angle], expand, center, method, fill))
}

/** Turned clockwise by degrees, moved by pixels [x, y], scaled, sheared by degrees (one number: along x). */
export function affine(
  image: Tensor,
  angle: number,
  translate: readonly [x: number, y: number],
  scale: number,
  shear: number | readonly number[],
  options: WarpOptions = {},
): Tensor {
  const { center, method, fill } = warp(options)
  const [x = 0, y = typeof shear === 'number' ? 0 : x] = typeof shear === 'number' ? [shear] : shear
  return run(image, (pipeline) => pipeline.affine(angle, [...translate], scale, [x, y], center, method, fill))
}

/** Four corners [x, y] of the image, from the top left clockwise, brought to four others. */
export function perspective(
  image: Tensor,
  startpoints: readonly (readonly [x: number, y: number])[],
  endpoints: readonly (readonly [x: number, y: number])[],
  { interpolation = 'bilinear', fill = null }: Omit<WarpOptions, 'center'> = {},
): Tensor {
  return run(image, (pipeline) =>
    pipeline.perspective(startpoints.flat(), endpoints.flat(), interpolation, fillOf(fill)),
  )
}

/** Times a factor. */
export function adjustBrightness(image: Tensor, factor: number): Tensor {
  return run(image, (pipeline) => pipeline.adjust('brightness', factor))
}

/** Blended with the mean of the grey image. */
export function adjustContrast(image: Tensor, factor: number): Tensor {
  return run(image, (pipeline) => pipeline.adjust('contrast', factor))
}

/** Blended with the grey image. */
export function adjustSaturation(image: Tensor, factor: number): Tensor {
  return run(image, (pipeline) => pipeline.adjust('saturation', factor))
}

/** The hue turned by a part of the circle, -0.5..0.5. */
export function adjustHue(image: Tensor, factor: number): Tensor {
  return run(image, (pipeline) => pipeline.adjust('hue', factor))
}

/** gain · x ^ gamma on values of 0..1. */
export function adjustGamma(image: Tensor, gamma: number, gain = 1): Tensor {
  return run(image, (pipeline) => pipeline.adjustGamma(gamma, gain))
}

/** Sharper (factor above 1) or softer. */
export function adjustSharpness(image: Tensor, factor: number): Tensor {
  return run(image, (pipeline) => pipeline.randomAdjustSharpness(factor, 1))
}

/** Levels stretched to the whole range, each channel its own. */
export function autocontrast(image: Tensor): Tensor {
  return run(image, (pipeline) => pipeline.randomAutocontrast(1))
}

/** Levels spread so that each takes as many pixels; float32 goes through 256 levels. */
export function equalize(image: Tensor): Tensor {
  return run(image, (pipeline) => pipeline.randomEqualize(1))
}

export function invert(image: Tensor): Tensor {
  return run(image, (pipeline) => pipeline.randomInvert(1))
}

/** The upper `bits` of each value. */
export function posterize(image: Tensor, bits: number): Tensor {
  return run(image, (pipeline) => pipeline.randomPosterize(bits, 1))
}

/** Values from the threshold up are inverted. */
export function solarize(image: Tensor, threshold: number): Tensor {
  return run(image, (pipeline) => pipeline.randomSolarize(threshold, 1))
}

/** Grey (ITU-R 601) in one channel, or in three. */
export function rgbToGrayscale(image: Tensor, numOutputChannels: 1 | 3 = 1): Tensor {
  return run(image, (pipeline) => pipeline.toGrayscale(numOutputChannels))
}

/** Three equal channels for a grey image. */
export function grayscaleToRgb(image: Tensor): Tensor {
  return run(image, (pipeline) => pipeline.rgb())
}

/** Blurred by a kernel of pixels (odd; two: across, down) and deviations; by default 0.15 · size + 0.35. */
export function gaussianBlur(
  image: Tensor,
  kernelSize: number | readonly number[],
  sigma?: number | readonly number[] | null,
): Tensor {
  const [across = 1, down = across] = typeof kernelSize === 'number' ? [kernelSize] : kernelSize
  const derived = [across * 0.15 + 0.35, down * 0.15 + 0.35]
  const [x = 0, y = x] = typeof sigma === 'number' ? [sigma] : (sigma ?? derived)
  return run(image, (pipeline) => pipeline.blur([across, down], [x, y]))
}

/** Normal noise, mean and deviation in parts of the range; the same for the same seed. */
export function gaussianNoise(
  image: Tensor,
  {
    mean = 0,
    sigma = 0.1,
    clip = true,
    seed = 0,
  }: { mean?: number; sigma?: number; clip?: boolean; seed?: number } = {},
): Tensor {
  return run(image, (pipeline) => pipeline.gaussianNoise(mean, sigma, clip, 1), seed)
}

/** The window of that place and size takes a value. */
export function erase(image: Tensor, top: number, left: number, height: number, width: number, value: Fill): Tensor {
  return run(image, (pipeline) => pipeline.erase(top, left, height, width, fillOf(value) ?? [0]))
}

/** (x − mean) / std of each channel of a float32 image. */
export function normalize(image: Tensor, mean: readonly number[], std: readonly number[]): Tensor {
  if (image.dtype !== 'float32') throw new SptError('ERR_DTYPE', `normalize: expected float32, got ${image.dtype}`)
  return run(image, (pipeline) => pipeline.normalize([...mean], [...std]))
}

/** Another element type; `scale` brings 0..255 to 0..1 and back (1.0 becomes 255, fractions dropped). */
export function toDtype(image: Tensor, dtype: 'float32' | 'uint8', scale = false): Tensor {
  if (image.dtype === dtype) return image
  if (!scale) return image.to(dtype)
  return run(image, (pipeline) => (dtype === 'uint8' ? pipeline.toBytes() : pipeline.toImage()))
}

function warp({ interpolation = 'nearest', fill = null, center = null }: WarpOptions) {
  return { method: interpolation, fill: fillOf(fill), center: center === null ? null : [...center] }
}

function fillOf(fill: Fill | null): number[] | null {
  return fill === null ? null : typeof fill === 'number' ? [fill] : [...fill]
}

function run(image: Tensor, add: (pipeline: Pipeline) => void, seed = 0): Tensor {
  if (image.dtype !== 'uint8' && image.dtype !== 'float32') {
    throw new SptError('ERR_DTYPE', `expected an image of uint8 or float32, got ${image.dtype}`, {
      hint: 'toDtype(image, …) or image.to(…) makes one.',
    })
  }
  const pipeline = new Pipeline(image.dtype === 'float32')
  add(pipeline)
  if (image.device === 'cpu') return pipeline.apply(image, seed)
  const leading = image.shape.slice(0, -3)
  return scope(() => {
    const flat = image.detach().reshape([-1, ...image.shape.slice(-3)])
    const { images } = pipeline.augment(flat, seed, 0, [...Array(flat.shape[0]).keys()])
    return images.reshape([...leading, ...images.shape.slice(1)])
  })
}
