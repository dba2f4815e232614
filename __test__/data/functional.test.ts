/** Image functions beyond the reference vectors: batches, other numbers of channels, bad input. */
import { describe, expect, test } from 'vitest'
import { functional as F } from '../../src/data/index.js'
import { Generator, rand, tensor } from '../../src/tensor/index.js'

const bytes = (shape: number[]) =>
  tensor(
    Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i * 37) % 251),
    { shape },
  )
const values = async (x: { data(): Promise<ArrayLike<number | bigint>> }) => Array.from(await x.data(), Number)

describe('functions on images', () => {
  test('a batch gives what its images give', async () => {
    const batch = bytes([2, 3, 9, 11])
    const whole = F.resize(F.adjustHue(batch, 0.2), [5, 7])
    expect(whole.shape).toEqual([2, 3, 5, 7])
    const second = F.resize(F.adjustHue(batch.narrow(0, 1, 1).squeeze(0), 0.2), [5, 7])
    expect((await values(whole)).slice(3 * 35)).toEqual(await values(second))
  })

  test('other numbers of channels are moved and not coloured', async () => {
    const image = bytes([5, 6, 8])
    const flipped = F.horizontalFlip(image)
    expect(await values(flipped)).toEqual(await values(image.flip(-1)))
    expect(() => F.adjustSaturation(image, 0.5)).toThrow(/5 channels/)
  })

  test('a turn by 90 degrees goes counter-clockwise, and back', async () => {
    const image = bytes([3, 4, 6])
    const turned = F.rotate(image, 90, { expand: true })
    expect(turned.shape).toEqual([3, 6, 4])
    expect(await values(turned)).toEqual(await values(image.permute([0, 2, 1]).flip(1)))
    expect(await values(F.rotate(turned, -90, { expand: true }))).toEqual(await values(image))
  })

  test('a perspective of the same corners changes nothing, a shifted one shifts', async () => {
    const image = bytes([1, 6, 6])
    const corners = [[0, 0], [5, 0], [5, 5], [0, 5]] as const // prettier-ignore
    expect(await values(F.perspective(image, corners, corners))).toEqual(await values(image))
    const right = corners.map(([x, y]) => [x + 1, y] as const)
    const shifted = await values(F.perspective(image, corners, right, { fill: 9 }))
    const plain = await values(image)
    expect(shifted.slice(0, 6)).toEqual([9, ...plain.slice(0, 5)])
  })

  test('a fill a channel', async () => {
    const padded = await values(F.pad(bytes([3, 1, 1]), 1, { fill: [1, 2, 3] }))
    expect([padded[0], padded[9], padded[18]]).toEqual([1, 2, 3])
    const turned = await values(F.affine(bytes([3, 4, 4]), 0, [8, 0], 1, 0, { fill: [1, 2, 3] }))
    expect([turned[0], turned[16], turned[32]]).toEqual([1, 2, 3])
  })

  test('noise follows its seed and stays in range', async () => {
    const image = rand([3, 8, 8], { generator: new Generator(0) })
    const noisy = await values(F.gaussianNoise(image, { sigma: 0.5, seed: 3 }))
    expect(noisy).toEqual(await values(F.gaussianNoise(image, { sigma: 0.5, seed: 3 })))
    expect(noisy).not.toEqual(await values(F.gaussianNoise(image, { sigma: 0.5, seed: 4 })))
    expect(noisy.every((value) => value >= 0 && value <= 1)).toBe(true)
  })

  test.each([
    [() => F.resize(bytes([4, 4]), 2), 'ERR_SHAPE'],
    [() => F.invert(tensor(new BigInt64Array(3), { shape: [3, 1, 1] })), 'ERR_DTYPE'],
    [() => F.adjustBrightness(bytes([3, 2, 2]), -1), 'ERR_ARGUMENT'],
    [() => F.adjustHue(bytes([3, 2, 2]), 0.6), 'ERR_ARGUMENT'],
    [() => F.gaussianBlur(bytes([3, 9, 9]), 4), 'ERR_ARGUMENT'],
    [() => F.gaussianBlur(bytes([3, 2, 2]), 5), 'ERR_ARGUMENT'],
    [() => F.solarize(bytes([3, 2, 2]), 300), 'ERR_ARGUMENT'],
    [() => F.posterize(bytes([3, 2, 2]), 9), 'ERR_ARGUMENT'],
    [() => F.pad(bytes([3, 2, 2]), 5, { paddingMode: 'reflect' }), 'ERR_ARGUMENT'],
    [() => F.pad(bytes([3, 2, 2]), 1, { fill: [1, 2] }), 'ERR_ARGUMENT'],
    [() => F.affine(bytes([3, 2, 2]), 0, [0, 0], 0, 0), 'ERR_ARGUMENT'],
    [() => F.rgbToGrayscale(bytes([3, 2, 2]), 2 as never), 'ERR_ARGUMENT'],
    [() => F.resizedCrop(bytes([3, 2, 2]), 1, 1, 4, 4, 2), 'ERR_ARGUMENT'],
    [() => F.normalize(bytes([3, 2, 2]), [0], [1]), 'ERR_DTYPE'],
  ])('bad input %#', (call, code) => {
    expect(call).toThrow(expect.objectContaining({ code }))
  })
})
