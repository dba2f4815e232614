/** Side by side with torchvision and Pillow on crops of real photos: at most one grey level apart on 99 pixels of 100. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import * as sp from '../../src/index.js'
import { build } from '../plugins/build.js'

const { functional: F } = sp
const file = fileURLToPath(new URL('../fixtures/transforms/photos.safetensors', import.meta.url))
const { tensors } = await sp.readSafetensors(file)
const stored = (name: string) => tensors.get(name) as sp.Tensor
const images = stored('images')

const corners = [[0, 0], [39, 0], [39, 31], [0, 31]] as const // prettier-ignore
const moved = [[3, 2], [35, 1], [38, 28], [2, 30]] as const // prettier-ignore
const bilinear = { interpolation: 'bilinear' } as const
const operations: Record<string, (x: sp.Tensor) => sp.Tensor> = {
  'resize bilinear': (x) => F.resize(x, [20, 28]),
  'resize bicubic': (x) => F.resize(x, [45, 50], { interpolation: 'bicubic' }),
  'resized crop': (x) => F.resizedCrop(x, 3, 5, 21, 27, 24),
  brightness: (x) => F.adjustBrightness(x, 1.3),
  contrast: (x) => F.adjustContrast(x, 0.6),
  saturation: (x) => F.adjustSaturation(x, 1.7),
  hue: (x) => F.adjustHue(x, -0.13),
  gamma: (x) => F.adjustGamma(x, 1.6, 0.9),
  sharpness: (x) => F.adjustSharpness(x, 2.5),
  autocontrast: (x) => F.autocontrast(x),
  equalize: (x) => F.equalize(x),
  posterize: (x) => F.posterize(x, 3),
  solarize: (x) => F.solarize(x, 110),
  grayscale: (x) => F.rgbToGrayscale(x, 3),
  blur: (x) => F.gaussianBlur(x, 9, 1.4),
  rotate: (x) => F.rotate(x, 25, { ...bilinear, fill: 90 }),
  'rotate expand': (x) => F.rotate(x, -50, { expand: true, fill: 10 }),
  affine: (x) => F.affine(x, 12, [3, -2], 1.2, [6, -4], { ...bilinear, fill: 30, center: [10, 20] }),
  perspective: (x) => F.perspective(x, corners, moved, { fill: 0 }),
  'pad reflect': (x) => F.pad(x, [3, 1, 2, 4], { paddingMode: 'reflect' }),
}

async function share(actual: sp.Tensor, expected: sp.Tensor, levels: number): Promise<number> {
  expect(actual.shape).toEqual(expected.shape)
  const [a, b] = await Promise.all([actual, expected].map(async (x) => Array.from(await x.data(), Number)))
  return a!.filter((value, i) => Math.abs(value - b![i]!) <= levels).length / a!.length
}

test.each(Object.entries(operations))('%s', async (name, operation) => {
  expect(await share(operation(images), stored(name), 1)).toBeGreaterThan(0.99)
})

test.each([0.3, 1, 2])('Pillow’s blur of %d, to the bit', async (sigma) => {
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape
  const pixels = (await images.permute([0, 2, 3, 1]).data()) as Uint8Array
  const get = (index: number) => {
    return { image: { pixels, offset: index * height * width * channels, width, height, channels }, index }
  }
  const transform = sp.compose([await build('transform', { type: 'pil-gaussian-blur', sigma }, {})])
  const loader = new sp.DataLoader({ dataset: { name: 'crops', length: count, get }, batchSize: count, transform })
  for await (const batch of loader) {
    const levels = batch.image!.mul(255).add(0.5).floor().to('uint8')
    expect(await share(levels, stored(`pillow blur ${sigma === 0.3 ? sigma : sigma.toFixed(1)}`), 0)).toBe(1)
    sp.disposeBatch(batch)
  }
})
