/** What is done to batches after they are made: mixing against its formula, augmentation of tensors, views, the trainer's hook. */
import { describe, expect, test } from 'vitest'
import * as sp from '../../src/index.js'
import { build } from '../plugins/build.js'

const images = (count: number) => sp.rand([count, 3, 8, 8], { generator: new sp.Generator(1) })
const labels = (count: number) => sp.tensor(BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 3)))
const batch = (count = 4): sp.Batch => ({ image: images(count), label: labels(count), index: labels(count) })
const numbers = async (value: unknown): Promise<number[]> => Array.from(await (value as sp.Tensor).data(), Number)
const context = (seed: number) => ({ epoch: 0, batch: 0, generator: new sp.Generator(seed) })

describe('mixup and cutmix', () => {
  const soft = async (made: sp.Batch) => numbers(made['soft_label'])

  test('mixup: images and labels are blended by one share, with the other end of the batch', async () => {
    const mix = new sp.RandomMixupCutmix({ numClasses: 3, cutmixAlpha: 0, labelSmoothing: 0.3 })
    const { share } = await mix.draw([8, 8], context(5).generator)
    const given = batch()
    const made = await mix.applyBatch(given, context(5))
    const [before, after] = [await numbers(given.image), await numbers(made.image)]
    const size = 3 * 64
    expect(after[0]).toBeCloseTo(before[0]! * share + before[3 * size]! * (1 - share), 5)
    // Labels 0, 1, 2, 0: the first and the last are of one class, the second and the third are not.
    const target = await soft(made)
    expect(target.slice(0, 3)).toEqual([0.8, 0.1, 0.1].map((value) => expect.closeTo(value, 5)))
    expect(target.slice(3, 6)).toEqual(
      [0.1, 0.1 + 0.7 * share, 0.1 + 0.7 * (1 - share)].map((value) => expect.closeTo(value, 5)),
    )
  })

  test('cutmix: a box is pasted, the share is the area that is left', async () => {
    const mix = new sp.RandomMixupCutmix({ numClasses: 3, mixupAlpha: 0, labelSmoothing: 0 })
    const { share, box } = await mix.draw([8, 8], context(7).generator)
    const [top, bottom, left, right] = box!
    expect(share).toBeCloseTo(1 - ((bottom - top) * (right - left)) / 64, 12)
    const given = batch()
    const [before, after] = [await numbers(given.image), await numbers((await mix.applyBatch(given, context(7))).image)]
    for (let i = 0; i < 64; i++) {
      const inside = i >> 3 >= top && i >> 3 < bottom && (i & 7) >= left && (i & 7) < right
      expect(after[i]).toBe(before[(inside ? 3 * 3 * 64 : 0) + i])
    }
  })

  test('shares follow Beta, switches and probabilities', async () => {
    const mix = new sp.RandomMixupCutmix({ numClasses: 3, prob: 0.8, switchProb: 0.25, mixupAlpha: 0.4 })
    const generator = new sp.Generator(2)
    const drawn = await Promise.all(Array.from({ length: 1500 }, () => mix.draw([32, 32], generator)))
    const part = (of: typeof drawn) => of.length / drawn.length
    expect(part(drawn.filter(({ share, box }) => share === 1 && box === undefined))).toBeCloseTo(0.2, 1)
    expect(part(drawn.filter(({ box }) => box !== undefined))).toBeCloseTo(0.8 * 0.25, 1)
    const blended = drawn.filter(({ share, box }) => share < 1 && box === undefined).map(({ share }) => share)
    const mean = blended.reduce((a, b) => a + b) / blended.length
    const variance = blended.reduce((sum, x) => sum + (x - mean) ** 2, 0) / blended.length
    // Beta(a, a): mean 1 / 2, variance 1 / (4 (2 a + 1)).
    expect(mean).toBeCloseTo(0.5, 1)
    expect(Math.abs(variance - 1 / (4 * 1.8))).toBeLessThan(0.02)
  })

  test('a label beyond the classes is named', async () => {
    const mix = new sp.RandomMixupCutmix({ numClasses: 2 })
    await expect(mix.applyBatch(batch(), context(0))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('label 2'),
    })
  })
})

describe('augmentation of tensors', () => {
  const transformed = async (value: unknown, given = batch(), place = { epoch: 0, batch: 0 }) => {
    const one = sp.batchTransform(await build('transform', value, {}))
    const source = { batchTransform: [one], seed: 3 } as unknown as sp.BatchSource
    return sp.applyBatchTransforms(source, given, place)
  }

  test('sample by sample, with what was drawn', async () => {
    const given = batch(40)
    const made = await transformed({ type: 'random-horizontal-flip' }, given)
    const flips = await numbers(made['RandomHorizontalFlip'])
    expect(new Set(flips)).toEqual(new Set([0, 1]))
    const [before, mirrored, after] = await Promise.all([given.image!, given.image!.flip(3), made.image!].map(numbers))
    for (const [i, flip] of flips.entries()) {
      const own = (all: number[]) => all.slice(i * 192, (i + 1) * 192)
      expect(own(after!)).toEqual(own(flip === 1 ? mirrored! : before!))
    }
  })

  test('the same for the same batch, other numbers for the next', async () => {
    const crop = { type: 'random-resized-crop', size: 8 }
    const draws = async (place: { epoch: number; batch: number }) =>
      numbers((await transformed(crop, batch(), place))['RandomResizedCrop'])
    const first = await draws({ epoch: 0, batch: 0 })
    expect(await draws({ epoch: 0, batch: 0 })).toEqual(first)
    expect(await draws({ epoch: 0, batch: 1 })).not.toEqual(first)
    expect(await draws({ epoch: 1, batch: 0 })).not.toEqual(first)
  })

  test('views are stacked, and each augmented', async () => {
    const made = await transformed({ type: 'stacked-multi-view', chain: { type: 'random-resized-crop', size: 4 } })
    expect(made.image).toBeUndefined()
    expect(made.views!.map(({ image }) => image.shape)).toEqual([[4, 3, 4, 4], [4, 3, 4, 4]]) // prettier-ignore
    expect(await numbers(made.views![0]!.image)).not.toEqual(await numbers(made.views![1]!.image))
    const grey = await transformed({ type: 'random-grayscale', p: 1 }, made)
    const [red, green] = [
      await numbers(grey.views![1]!.image.narrow(1, 0, 1)),
      await numbers(grey.views![1]!.image.narrow(1, 1, 1)),
    ]
    expect(red).toEqual(green)
  })

  test('nothing is left of what one transform made and the next replaced', async () => {
    const chain = ['random-horizontal-flip', 'random-invert', 'random-grayscale']
    const transforms = await Promise.all(
      chain.map(async (type) => sp.batchTransform(await build('transform', type, {}))),
    )
    const source = { batchTransform: transforms, seed: 0 } as unknown as sp.BatchSource
    const live = async () => {
      await sp.scope(async () => {
        const given = batch()
        const made = await sp.applyBatchTransforms(source, given, { epoch: 0, batch: 0 })
        sp.disposeBatch(made)
      })
      return sp.memory().liveBuffers
    }
    await live()
    expect(await live()).toBe(await live())
  })

  test('what works on single samples is refused', async () => {
    await expect(transformed({ type: 'random-mask' })).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' })
  })
})
