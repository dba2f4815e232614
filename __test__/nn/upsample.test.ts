/** Upsample and Tensor.interpolate: sizes, factors, and what is refused. Values are in the reference vectors. */
import { describe, expect, it } from 'vitest'
import { Upsample } from '../../src/nn/index.js'
import { tensor, zeros } from '../../src/tensor/index.js'

describe('Upsample', () => {
  it('repeats pixels by default', async () => {
    const image = tensor([1, 2, 3, 4], { shape: [1, 1, 2, 2] })
    const larger = new Upsample({ scaleFactor: 2 }).forward(image)
    expect([...(await larger.data())]).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
  })

  it('takes a size or a factor an axis', () => {
    const image = zeros([2, 3, 5, 7])
    expect(new Upsample({ size: [9, 4], mode: 'bilinear' }).forward(image).shape).toEqual([2, 3, 9, 4])
    expect(new Upsample({ size: 6, mode: 'bicubic', antialias: true }).forward(image).shape).toEqual([2, 3, 6, 6])
    expect(new Upsample({ scaleFactor: [1.5, 0.5], mode: 'area' }).forward(image).shape).toEqual([2, 3, 7, 3])
    expect(new Upsample({ size: 4, mode: 'linear' }).forward(zeros([2, 3, 5])).shape).toEqual([2, 3, 4])
    expect(new Upsample({ size: 4, mode: 'trilinear' }).forward(zeros([1, 1, 2, 3, 5])).shape).toEqual([1, 1, 4, 4, 4])
  })

  it('says what does not fit', () => {
    const image = zeros([1, 1, 4, 4])
    expect(() => image.interpolate({})).toThrow('either size or scaleFactor')
    expect(() => image.interpolate({ size: 2, scaleFactor: 2 })).toThrow('either size or scaleFactor')
    expect(() => image.interpolate({ size: 2, mode: 'lanczos' as never })).toThrow('nearest-exact')
    expect(() => image.interpolate({ size: 2, mode: 'nearest', alignCorners: true })).toThrow('alignCorners')
    expect(() => image.interpolate({ size: [2, 2, 2] })).toThrow('[1, 1, 4, 4]')
    expect(() => image.interpolate({ scaleFactor: 0 })).toThrow('positive')
  })
})
