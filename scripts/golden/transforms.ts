/** How to call each image transform of the reference vectors. */
import { functional as F } from '../../src/data/index.js'
import { Pipeline, transformBatch } from '../../src/native.js'
import { tensor, type Tensor } from '../../src/tensor/index.js'
import { type Call, first, type Handler, type Table } from './table.js'

// What a case says is not known to the compiler; a wrong type fails the case.
// oxlint-disable-next-line no-explicit-any
type Attributes = Record<string, any>

/** Calls an operation with the image and attributes of the case. */
const image =
  (operation: (image: Tensor, attrs: Attributes) => Tensor): Handler =>
  (call) =>
    operation(first(call), call.attrs as Attributes)

export const transforms: Table = {
  adjust_brightness: image((x, { brightness_factor }) => F.adjustBrightness(x, brightness_factor)),
  adjust_contrast: image((x, { contrast_factor }) => F.adjustContrast(x, contrast_factor)),
  adjust_saturation: image((x, { saturation_factor }) => F.adjustSaturation(x, saturation_factor)),
  adjust_hue: image((x, { hue_factor }) => F.adjustHue(x, hue_factor)),
  adjust_gamma: image((x, { gamma, gain }) => F.adjustGamma(x, gamma, gain ?? 1)),
  adjust_sharpness: image((x, { sharpness_factor }) => F.adjustSharpness(x, sharpness_factor)),
  color_jitter: image((x, { order, factors }) =>
    (order as string[]).reduce((value, aspect) => adjust[aspect]!(value, factors[aspect]!), x),
  ),
  rgb_to_grayscale: image((x, { num_output_channels }) => F.rgbToGrayscale(x, num_output_channels)),
  solarize: image((x, { threshold }) => F.solarize(x, threshold)),
  posterize: image((x, { bits }) => F.posterize(x, bits)),
  invert: image((x) => F.invert(x)),
  equalize: image((x) => F.equalize(x)),
  // The stored image is narrowed first, as the note says, so that there is something to stretch.
  autocontrast: image((x) => F.autocontrast(x.dtype === 'uint8' ? halved(x) : x.mul(0.5).add(0.2))),
  horizontal_flip: image((x) => F.horizontalFlip(x)),
  vertical_flip: image((x) => F.verticalFlip(x)),
  crop: image((x, { top, left, height, width }) => F.crop(x, top, left, height, width)),
  center_crop: image((x, { size }) => F.centerCrop(x, size)),
  resize: image((x, { size, max_size, ...options }) =>
    F.resize(x, size, { ...options, antialias: options['antialias'] ?? true, maxSize: max_size ?? null }),
  ),
  resized_crop: image((x, { top, left, height, width, size, interpolation, antialias }) =>
    F.resizedCrop(x, top, left, height, width, size, { interpolation, antialias: antialias ?? true }),
  ),
  pad: image((x, { padding, fill, padding_mode }) =>
    F.pad(x, padding, { fill: fill ?? 0, paddingMode: padding_mode ?? 'constant' }),
  ),
  rotate: image((x, { angle, expand, interpolation, fill, center }) =>
    F.rotate(x, angle, { expand: expand ?? false, ...warp(interpolation, fill, center) }),
  ),
  affine: image((x, { angle, translate, scale, shear, interpolation, fill, center }) =>
    F.affine(x, angle, translate, scale, shear, warp(interpolation, fill, center)),
  ),
  perspective: image((x, { startpoints, endpoints, interpolation, fill }) =>
    F.perspective(x, startpoints, endpoints, warp(interpolation ?? 'bilinear', fill)),
  ),
  gaussian_blur: image((x, { kernel_size, sigma }) => F.gaussianBlur(x, kernel_size, sigma ?? null)),
  erase: image((x, { top, left, height, width, value }) => F.erase(x, top, left, height, width, value)),
  normalize: image((x, { mean, std }) => F.normalize(x, mean, std)),
  to_dtype: image((x, { dtype, scale }) =>
    F.toDtype(dtype === 'uint8' ? x.mul(0.97).add(0.01) : x, dtype, scale ?? false),
  ),
  RandomResizedCrop: cropStatistics,
  ranges: drawnRanges,
}

const adjust: Record<string, (image: Tensor, factor: number) => Tensor> = {
  brightness: F.adjustBrightness,
  contrast: F.adjustContrast,
  saturation: F.adjustSaturation,
  hue: F.adjustHue,
}

/** The cases that say fill 0 were made without a fill: zeros are blended in, not faded to. */
function warp(interpolation: F.WarpOptions['interpolation'], fill: F.Fill | undefined, center?: [number, number]) {
  return { interpolation: interpolation ?? 'nearest', fill: fill === 0 ? null : (fill ?? null), center: center ?? null }
}

/** floor(x / 2) + 40 of bytes. */
function halved(x: Tensor): Tensor {
  return x.to('float32').mul(0.5).floor().add(40).to('uint8')
}

/** Draws of one step for images of that size, a row of numbers each. */
async function draws(count: number, [height, width]: number[], add: (pipeline: Pipeline) => void): Promise<number[][]> {
  const size = { width: width as number, height: height as number, channels: 1 }
  const data = new Uint8Array(size.width * size.height)
  const pipeline = new Pipeline()
  add(pipeline)
  pipeline.toImage()
  const samples = Array.from({ length: count }, (_, i) => i)
  const { views, records, failure } = await transformBatch(
    samples.map(() => ({ data, ...size })),
    [pipeline],
    1,
    0,
    samples,
  )
  if (failure) throw new Error(failure.message)
  for (const view of views) view.dispose()
  const numbers = records[0] as Float64Array
  const each = numbers.length / count
  return samples.map((i) => Array.from(numbers.subarray(i * each, (i + 1) * each)))
}

async function cropStatistics({ attrs, outputNames }: Call): Promise<Record<string, Float64Array>> {
  const { scale, ratio, draws: count, quantile_levels: levels } = attrs as Record<string, number[]> & { draws: number }
  const [height = 1, width = 1] = attrs['image'] as number[]
  const windows = await draws(count, [height, width], (pipeline) =>
    pipeline.randomResizedCrop([1, 1], scale as number[], ratio as number[], 'nearest', false),
  )
  const column = (value: (window: number[]) => number) => windows.map(value)
  const areas = column(([, , high = 0, wide = 0]) => (high * wide) / (height * width))
  const aspects = column(([, , high = 0, wide = 0]) => wide / high)
  const statistics: Record<string, number[]> = {
    area_mean: [mean(areas)],
    area_quantiles: (levels as number[]).map((level) => quantile(areas, level)),
    aspect_quantiles: (levels as number[]).map((level) => quantile(aspects, level)),
    log_aspect_mean: [mean(aspects.map(Math.log))],
    position_mean: [
      mean(column(([top = 0, , high = 0]) => top / Math.max(1, height - high))),
      mean(column(([, left = 0, , wide = 0]) => left / Math.max(1, width - wide))),
    ],
  }
  return Object.fromEntries(outputNames.map((name) => [name, Float64Array.from(statistics[name] as number[])]))
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

function quantile(values: number[], level: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.round(level * (sorted.length - 1))] as number
}

/** The case states ranges in words and has nothing to compare: this draws, and fails where a draw leaves its range. */
async function drawnRanges(): Promise<Tensor> {
  const within = async (low: number, high: number, column: number, add: (pipeline: Pipeline) => void) => {
    const found = (await draws(2000, [40, 40], add)).map((row) => row[column] as number)
    const [least, most, middle] = [Math.min(...found), Math.max(...found), (low + high) / 2]
    const reached = least >= low && most <= high && least < middle && most > middle
    if (!reached) throw new Error(`drew ${least}..${most}, expected ${low}..${high}`)
  }
  await within(0.2, 1.8, 0, (pipeline) => pipeline.colorJitter([0.2, 1.8], null, null, null, 1))
  await within(-0.1, 0.1, 3, (pipeline) => pipeline.colorJitter(null, null, null, [-0.1, 0.1], 1))
  await within(0.1, 2, 0, (pipeline) => pipeline.gaussianBlur([3, 3], [0.1, 2], 1))
  await within(-30, 30, 0, (pipeline) => pipeline.randomRotation([-30, 30], false, null, 'nearest', null))
  await within(0, 39, 2, (pipeline) => pipeline.randomErasing([0.02, 0.33], [0.3, 3.3], [0], 1))
  await within(0, 1, 0, (pipeline) => pipeline.randomHorizontalFlip(0.5))
  return tensor([0])
}
