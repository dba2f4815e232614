/** A data set of equally large images in one array of bytes: what IDX and CIFAR files are read into, and any array of yours. */
import { SptError, argumentInvalid } from '../errors.js'
import type { Dataset, Sample } from './sample.js'

export interface InMemoryOptions {
  /** All images one after another, each HWC: [length, height, width, channels] bytes. */
  readonly pixels: Uint8Array
  readonly width: number
  readonly height: number
  /** 1 (grey) or 3 (red, green, blue). */
  readonly channels: 1 | 3
  /** Class numbers, one an image. */
  readonly labels?: ArrayLike<number>
  readonly classes?: readonly string[]
  readonly name?: string
}

export class InMemoryDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly width: number
  readonly height: number
  readonly channels: 1 | 3
  readonly pixels: Uint8Array
  readonly labels: ArrayLike<number> | undefined

  constructor({ pixels, width, height, channels, labels, classes, name = 'in-memory' }: InMemoryOptions) {
    for (const [side, value] of [
      ['width', width],
      ['height', height],
    ] as const) {
      if (!Number.isInteger(value) || value < 1)
        throw argumentInvalid(`InMemoryDataset ${side}`, 'a whole number from 1', value)
    }
    if (channels !== 1 && channels !== 3) throw argumentInvalid('InMemoryDataset channels', '1 or 3', channels)
    const bytes = width * height * channels
    if (pixels.length % bytes !== 0) {
      throw new SptError(
        'ERR_DATA',
        `${name}: ${pixels.length} bytes are not a whole number of ${height}x${width}x${channels} images`,
      )
    }
    this.length = pixels.length / bytes
    if (labels !== undefined && labels.length !== this.length) {
      throw new SptError('ERR_DATA', `${name}: ${this.length} images but ${labels.length} labels`)
    }
    this.name = name
    this.width = width
    this.height = height
    this.channels = channels
    this.pixels = pixels
    this.labels = labels
    if (classes !== undefined) this.classes = classes
  }

  get(index: number): Sample {
    checkIndex(this, index)
    const { width, height, channels, pixels } = this
    const image = { pixels, offset: index * width * height * channels, width, height, channels }
    const label = this.labels?.[index]
    return label === undefined ? { image, index } : { image, label, index }
  }
}

/** Throws ERR_ARGUMENT unless `index` is a place in `dataset`. */
export function checkIndex(dataset: Dataset, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= dataset.length) {
    throw argumentInvalid(`${dataset.name}.get`, `an index in 0..${dataset.length - 1}`, index)
  }
}
