/** What random transforms draw, in many small images: how often, in which range, with which mean, and independently. */
import { describe, expect, test } from 'vitest'
import * as sp from '../../src/index.js'
import { build } from './build.js'

const count = 1200

/** What `key` records, a row of numbers an image of that size. */
async function draws(value: object, key: string, [height, width] = [12, 10]): Promise<number[][]> {
  const pixels = new Uint8Array(height! * width! * 3).fill(100)
  const get = (index: number) => ({ image: { pixels, offset: 0, width: width!, height: height!, channels: 3 }, index })
  const transform = sp.compose([await build('transform', value, {})])
  const loader = new sp.DataLoader({
    dataset: { name: 'grey', length: count, get },
    batchSize: count,
    transform,
    seed: 5,
  })
  for await (const batch of loader) {
    const drawn = batch[key] as sp.Tensor
    const flat = Array.from(await drawn.data(), Number)
    sp.disposeBatch(batch)
    return Array.from({ length: count }, (_, i) =>
      flat.slice((i * flat.length) / count, ((i + 1) * flat.length) / count),
    )
  }
  throw new Error('no batch')
}

const column = (rows: number[][], at: number) => rows.map((row) => row[at]!)
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** Mean of n even draws from a range, to four of its deviations. */
function expectEven(values: number[], low: number, high: number): void {
  expect(Math.min(...values)).toBeGreaterThanOrEqual(low)
  expect(Math.max(...values)).toBeLessThanOrEqual(high)
  const deviation = (high - low) / Math.sqrt(12 * values.length)
  expect(Math.abs(mean(values) - (low + high) / 2)).toBeLessThan(4 * deviation)
}

describe('each is done with its probability', () => {
  test.each([
    [{ type: 'random-horizontal-flip' }, 'RandomHorizontalFlip'],
    [{ type: 'random-vertical-flip' }, 'RandomVerticalFlip'],
    [{ type: 'random-grayscale' }, 'RandomGrayscale'],
    [{ type: 'random-solarize' }, 'RandomSolarize'],
    [{ type: 'random-invert' }, 'RandomInvert'],
    [{ type: 'random-equalize' }, 'RandomEqualize'],
    [{ type: 'random-autocontrast' }, 'RandomAutocontrast'],
    [{ type: 'random-posterize', bits: 3 }, 'RandomPosterize'],
    [{ type: 'random-adjust-sharpness', sharpness_factor: 2 }, 'RandomAdjustSharpness'],
    [{ type: 'random-perspective' }, 'RandomPerspective'],
    [{ type: 'random-erasing' }, 'RandomErasing'],
    [{ type: 'gaussian-blur', kernel_size: 3 }, 'GaussianBlur'],
    [{ type: 'pil-gaussian-blur' }, 'PILGaussianBlur'],
    [{ type: 'gaussian-noise' }, 'GaussianNoise'],
    [{ type: 'additive-gaussian', sigma: 0.1 }, 'AdditiveGaussian'],
    [{ type: 'color-jitter', brightness: 0.5 }, 'ColorJitter'],
  ])('%j', async (value, key) => {
    const p = 0.3
    const rows = await draws({ ...value, p }, key)
    const done = rows.filter((row) => row.some((number) => number !== 0)).length / count
    expect(Math.abs(done - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / count))
  })
})

describe('numbers are drawn evenly from their ranges', () => {
  test('rotation and affine', async () => {
    expectEven(column(await draws({ type: 'random-rotation', degrees: 30 }, 'RandomRotation'), 0), -30, 30)
    const options = { degrees: [10, 20], translate: [0.5, 0.25], scale: [0.5, 1.5], shear: [-5, 5, 2, 8] }
    const rows = await draws({ type: 'random-affine', ...options }, 'RandomAffine', [40, 40])
    expectEven(column(rows, 0), 10, 20)
    expectEven(column(rows, 1), -20, 20)
    expectEven(column(rows, 2), -10, 10)
    expect(rows.every((row) => Number.isInteger(row[1]) && Number.isInteger(row[2]))).toBe(true)
    expectEven(column(rows, 3), 0.5, 1.5)
    expectEven(column(rows, 4), -5, 5)
    expectEven(column(rows, 5), 2, 8)
  })

  test('blurs and jitter', async () => {
    expectEven(column(await draws({ type: 'pil-gaussian-blur', sigma: [0.5, 1.5] }, 'PILGaussianBlur'), 0), 0.5, 1.5)
    const jitter = { type: 'color-jitter', brightness: 0.4, contrast: [0.5, 1], saturation: 0.2, hue: 0.1 }
    const rows = await draws(jitter, 'ColorJitter')
    const ranges = [[0.6, 1.4], [0.5, 1], [0.8, 1.2], [-0.1, 0.1]] as const // prettier-ignore
    for (const [at, [low, high]] of ranges.entries()) expectEven(column(rows, at), Math.fround(low), Math.fround(high))
    expect(new Set(rows.map((row) => row.slice(4).join())).size).toBe(24)
  })

  test('erasing: area and ratio', async () => {
    const rows = await draws(
      { type: 'random-erasing', p: 1, scale: [0.1, 0.3], ratio: [0.5, 2] },
      'RandomErasing',
      [64, 64],
    )
    const areas = rows.map((row) => (row[2]! * row[3]!) / 4096)
    expectEven(areas, 0.095, 0.305)
    const ratios = rows.map((row) => Math.log(row[2]! / row[3]!))
    expect(Math.abs(mean(ratios))).toBeLessThan(0.05)
  })

  test('channels: each of the six orders as often', async () => {
    const orders = (await draws({ type: 'random-channel-permutation' }, 'RandomChannelPermutation')).map((row) =>
      row.join(),
    )
    const counts = [...new Set(orders)].map((order) => orders.filter((other) => other === order).length)
    expect(counts).toHaveLength(6)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThan(80)
  })

  test('what a crop says it padded and cut', async () => {
    const rows = await draws({ type: 'random-crop', size: 12, padding: [1, 2, 3, 4] }, 'RandomCrop', [12, 12])
    expectEven(column(rows, 1), 0, 6)
    expectEven(column(rows, 2), 0, 4)
    expect(rows[0]!.slice(3)).toEqual([12, 12, 1, 1, 2, 3, 4])
  })
})

test('draws of two steps are independent', async () => {
  const steps = {
    type: 'compose',
    transforms: [{ type: 'random-rotation', degrees: 10 }, { type: 'pil-gaussian-blur' }],
  }
  const [angles, sigmas] = [
    column(await draws(steps, 'RandomRotation'), 0),
    column(await draws(steps, 'PILGaussianBlur'), 0),
  ]
  const [a, b] = [mean(angles), mean(sigmas)]
  const product = mean(angles.map((angle, i) => (angle - a) * (sigmas[i]! - b)))
  const spread = (values: number[], middle: number) => Math.sqrt(mean(values.map((value) => (value - middle) ** 2)))
  expect(Math.abs(product / (spread(angles, a) * spread(sigmas, b)))).toBeLessThan(4 / Math.sqrt(count))
})
