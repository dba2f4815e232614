/**
 * Changes of whole batches in [0, 1], drawn for each image, that kornia has and torchvision lacks: RandAugment (Cubuk et al. 2020,
 * arXiv:1909.13719) with kornia's list and ranges, and solarization after an addition.
 */
import { argumentInvalid } from '../errors.js'
import { cat, scope, tensor, where, type DeviceName, type Generator, type Tensor } from '../tensor/index.js'
import { overImages, type BatchContext, type BatchTransform } from './batch-transform.js'
import type { Batch, View } from './data-loader.js'
import * as functional from './functional.js'
import type { Range } from './image-steps.js'

/** A number in 0..1 of strength gives what an operation is done with; some go either way, so `sign` is 1 or -1. */
interface Operation {
  readonly name: string
  value(part: number): number
  readonly eitherWay?: boolean
  apply(images: Tensor, value: number): Tensor
}

const between = (low: number, high: number) => (part: number) => low + (high - low) * part
const none = () => 1
const blended = { interpolation: 'bilinear' } as const
const still = [0, 0] as const
const sides = (images: Tensor): [height: number, width: number] => images.shape.slice(-2) as [number, number]

/** In the order of kornia's default policy. Turns in degrees, moves in parts of a side. */
const operations: readonly Operation[] = [
  { name: 'autocontrast', value: none, apply: (images) => functional.autocontrast(images) },
  { name: 'equalize', value: none, apply: (images) => functional.equalize(images) },
  { name: 'invert', value: none, apply: (images) => functional.invert(images) },
  {
    name: 'rotate',
    value: between(0, 30),
    eitherWay: true,
    apply: (images, angle) => functional.rotate(images, angle, blended),
  },
  // The stronger, the fewer bits are kept.
  {
    name: 'posterize',
    value: (part) => Math.floor(8 - 4 * part),
    apply: (images, bits) => functional.posterize(images, bits),
  },
  { name: 'solarize', value: between(0, 1), apply: (images, threshold) => functional.solarize(images, threshold) },
  {
    name: 'solarize-add',
    value: between(0, 0.43),
    apply: (images, addition) => functional.solarize(images.add(addition).clamp(0, 1), 0.5),
  },
  { name: 'color', value: between(0.1, 1.9), apply: (images, by) => functional.adjustSaturation(images, by) },
  { name: 'contrast', value: between(0.1, 1.9), apply: (images, by) => functional.adjustContrast(images, by) },
  { name: 'brightness', value: between(0.1, 1.9), apply: (images, by) => functional.adjustBrightness(images, by) },
  { name: 'sharpness', value: between(0.1, 1.9), apply: (images, by) => functional.adjustSharpness(images, by) },
  {
    name: 'shear-x',
    value: between(0, 54),
    eitherWay: true,
    apply: (images, angle) => functional.affine(images, 0, still, 1, [angle, 0], blended),
  },
  {
    name: 'shear-y',
    value: between(0, 54),
    eitherWay: true,
    apply: (images, angle) => functional.affine(images, 0, still, 1, [0, angle], blended),
  },
  {
    name: 'translate-x',
    value: between(0, 0.1),
    eitherWay: true,
    apply: (images, part) => functional.affine(images, 0, [part * sides(images)[1], 0], 1, 0, blended),
  },
  {
    name: 'translate-y',
    value: between(0, 0.1),
    eitherWay: true,
    apply: (images, part) => functional.affine(images, 0, [0, part * sides(images)[0]], 1, 0, blended),
  },
]

/** The names of RandAugment's operations by their numbers. */
export const randAugmentOperations: readonly string[] = operations.map(({ name }) => name)

/**
 * Each image by `n` different operations in a random order, all of strength `m` of 30, on any device: images that go by the same
 * operation are done together. `RandAugment` of the batch, float32 [batch, n, 2], has the number and the value of each. kornia draws
 * one list for a whole batch; this draws for each image.
 */
export class RandAugment implements BatchTransform {
  readonly anyDevice = true
  readonly n: number
  readonly m: number

  constructor({ n = 2, m = 10 }: { n?: number; m?: number } = {}) {
    if (!(Number.isInteger(n) && n >= 1 && n <= operations.length))
      throw argumentInvalid('RandAugment n', `a whole number in 1..${operations.length}`, n)
    if (!(m > 0 && m < 30)) throw argumentInvalid('RandAugment m', 'a number between 0 and 30', m)
    this.n = n
    this.m = m
  }

  applyBatch(batch: Batch, { generator }: BatchContext): Promise<Batch> {
    return overImages(batch, async (image): Promise<View> => {
      const [count = 0] = image.shape
      const drawn = Array.from({ length: count }, () => this.#draw(generator))
      let made = image
      for (let slot = 0; slot < this.n; slot++) {
        const given = made
        made = scope(() =>
          grouped(
            given,
            drawn.map((list) => list[slot] as Drawn),
          ),
        )
      }
      const record = Float32Array.from(drawn.flat(2))
      return { image: made, RandAugment: tensor(record, { shape: [count, this.n, 2], device: 'cpu' }) }
    })
  }

  #draw(generator: Generator): Drawn[] {
    const order = generator.permutation(operations.length).slice(0, this.n)
    return order.map((number) => {
      const { value, eitherWay = false } = operations[number] as Operation
      const sign = eitherWay && generator.uniform() < 0.5 ? -1 : 1
      return [number, sign * value(this.m / 30)]
    })
  }
}

type Drawn = readonly [operation: number, value: number]

/** Images that go by one operation and value are done together. */
function grouped(images: Tensor, drawn: readonly Drawn[]): Tensor {
  const groups = new Map<string, number[]>()
  for (const [row, [number, value]] of drawn.entries()) {
    const key = `${number} ${value}`
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const rows = [...groups.values()]
  const parts = rows.map((own) => {
    const [number, value] = drawn[own[0] as number] as Drawn
    return (operations[number] as Operation).apply(images.indexSelect(0, places(own, images)), value)
  })
  const back = drawn.map(() => 0)
  for (const [place, row] of rows.flat().entries()) back[row] = place
  return cat(parts, 0).indexSelect(0, places(back, images))
}

const places = (numbers: readonly number[], { device }: Tensor): Tensor =>
  tensor(BigInt64Array.from(numbers, BigInt), { device: device as DeviceName })

export interface SolarizeAddOptions {
  /** Pixels from this value up are inverted: a range, or half the width of one around 0.5. Default 0.1. */
  readonly thresholds?: number | Range
  /** What is added before, kept in [0, 1]: a range within -0.5..0.5, or half the width of one around 0. Default 0.1. */
  readonly additions?: number | Range
  /** How probable it is for each image. Default 0.2. */
  readonly p?: number
}

/**
 * kornia's RandomSolarize, on any device: something is added to every pixel, then those from a threshold up are inverted.
 * `RandomSolarizeAdd` of the batch, float32 [batch, 2], has threshold and addition, zeros where it was left out.
 */
export class RandomSolarizeAdd implements BatchTransform {
  readonly anyDevice = true
  readonly #thresholds: Range
  readonly #additions: Range
  readonly #p: number

  constructor({ thresholds = 0.1, additions = 0.1, p = 0.2 }: SolarizeAddOptions = {}) {
    this.#thresholds = rangeOf('thresholds', thresholds, 0.5, [0, 1])
    this.#additions = rangeOf('additions', additions, 0, [-0.5, 0.5])
    if (!(p >= 0 && p <= 1)) throw argumentInvalid('RandomSolarizeAdd p', 'a probability', p)
    this.#p = p
  }

  applyBatch(batch: Batch, { generator }: BatchContext): Promise<Batch> {
    return overImages(batch, async (image): Promise<View> => {
      const [count = 0] = image.shape
      const done = new Uint8Array(count)
      const [thresholds, additions] = [new Float32Array(count), new Float32Array(count)]
      for (let i = 0; i < count; i++) {
        done[i] = generator.uniform() < this.#p ? 1 : 0
        const [threshold, addition] = [drawIn(this.#thresholds, generator), drawIn(this.#additions, generator)]
        if (done[i] === 0) continue
        thresholds[i] = threshold
        additions[i] = addition
      }
      const device = image.device as DeviceName
      const each = (data: Float32Array | Uint8Array, dtype: 'float32' | 'bool') =>
        tensor(data, { shape: [count, ...image.shape.slice(1).map(() => 1)], dtype, device })
      const added = image.add(each(additions, 'float32')).clamp(0, 1)
      const inverted = where(added.ge(each(thresholds, 'float32')), added.neg().add(1), added)
      const record = Float32Array.from(
        { length: 2 * count },
        (_, i) => (i % 2 === 0 ? thresholds : additions)[i >> 1] as number,
      )
      return {
        image: where(each(done, 'bool'), inverted, image),
        RandomSolarizeAdd: tensor(record, { shape: [count, 2], device: 'cpu' }),
      }
    })
  }
}

const drawIn = ([low, high]: Range, generator: Generator): number => low + (high - low) * generator.uniform()

function rangeOf(what: string, given: number | Range, middle: number, [least, most]: Range): Range {
  const [low, high] = typeof given === 'number' ? [middle - given, middle + given] : given
  if (!(least <= low && low <= high && high <= most))
    throw argumentInvalid(`RandomSolarizeAdd ${what}`, `a range within ${least}..${most}`, given)
  return [low, high]
}
