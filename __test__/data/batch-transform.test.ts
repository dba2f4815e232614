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

describe('RandAugment', () => {
  const plain = () => images(300)
  const drawnBy = async (options: object, given = plain()) => {
    const made = await new sp.RandAugment(options).applyBatch({ image: given, index: labels(300) }, context(4))
    const record = made['RandAugment'] as sp.Tensor
    const flat = await numbers(record)
    const rows = Array.from({ length: 300 }, (_, i) =>
      flat.slice(i * 2 * record.shape[1]!, (i + 1) * 2 * record.shape[1]!),
    )
    return { made, rows }
  }
  const { functional: f } = sp
  const bilinear = { interpolation: 'bilinear' } as const
  // A third of each range, since the strength is 10 of 30; some go either way.
  const expected: Record<string, (image: sp.Tensor, sign: number) => sp.Tensor> = {
    autocontrast: (image) => f.autocontrast(image),
    equalize: (image) => f.equalize(image),
    invert: (image) => f.invert(image),
    rotate: (image, sign) => f.rotate(image, sign * 10, bilinear),
    posterize: (image) => f.posterize(image, 6),
    solarize: (image) => f.solarize(image, 1 / 3),
    'solarize-add': (image) => f.solarize(image.add(0.43 / 3).clamp(0, 1), 0.5),
    color: (image) => f.adjustSaturation(image, 0.7),
    contrast: (image) => f.adjustContrast(image, 0.7),
    brightness: (image) => f.adjustBrightness(image, 0.7),
    sharpness: (image) => f.adjustSharpness(image, 0.7),
    'shear-x': (image, sign) => f.affine(image, 0, [0, 0], 1, [sign * 18, 0], bilinear),
    'shear-y': (image, sign) => f.affine(image, 0, [0, 0], 1, [0, sign * 18], bilinear),
    'translate-x': (image, sign) => f.affine(image, 0, [(sign * 8) / 30, 0], 1, 0, bilinear),
    'translate-y': (image, sign) => f.affine(image, 0, [0, (sign * 8) / 30], 1, 0, bilinear),
  }

  test('each image by the operation that its record names, at a third of its range', async () => {
    const given = plain()
    const { made, rows } = await drawnBy({ n: 1 }, given)
    const seen = new Set<string>()
    for (const [i, [number, value]] of rows.entries()) {
      const name = sp.randAugmentOperations[number!]!
      if (seen.has(`${name} ${value}`)) continue
      seen.add(`${name} ${value}`)
      const own = expected[name]!(given.narrow(0, i, 1).contiguous(), Math.sign(value!))
      const [found, wanted] = [await numbers(made.image!.narrow(0, i, 1)), await numbers(own)]
      expect(Math.max(...found.map((x, k) => Math.abs(x - wanted[k]!)))).toBeLessThan(1e-5)
    }
    expect(seen.size).toBe(15 + 5)
  })

  test('two different operations an image, each as often as the others, either way as often', async () => {
    const { rows } = await drawnBy({ n: 2 })
    expect(rows.every(([first, , second]) => first !== second)).toBe(true)
    const all = rows.flatMap(([first, , second]) => [first!, second!])
    // 600 draws among 15: 40 each, to four deviations.
    for (let number = 0; number < 15; number++)
      expect(Math.abs(all.filter((found) => found === number).length - 40)).toBeLessThan(4 * Math.sqrt(40))
    const turned = rows.flatMap(([first, value, second, other]) => [[first, value], [second, other]]).filter(([number]) => [3, 11, 12, 13, 14].includes(number!)) // prettier-ignore
    const left = turned.filter(([, value]) => value! < 0).length
    expect(Math.abs(left - turned.length / 2)).toBeLessThan(2 * Math.sqrt(turned.length))
  })

  test.each([{ n: 0 }, { n: 16 }, { m: 0 }, { m: 30 }])('%j is refused', (options) => {
    expect(() => new sp.RandAugment(options)).toThrow(/RandAugment/)
  })
})

describe('solarize after an addition', () => {
  const solarized = async (options: object, given: sp.Tensor) => {
    const made = await new sp.RandomSolarizeAdd(options).applyBatch({ image: given, index: labels(4) }, context(8))
    return { image: await numbers(made.image), drawn: await numbers(made['RandomSolarizeAdd']) }
  }

  test('added, kept in [0, 1], inverted from the threshold up; as drawn', async () => {
    const values = [0.1, 0.4, 0.6, 0.9]
    const given = sp.tensor(new Float32Array(values), { shape: [1, 1, 2, 2] })
    const { image } = await solarized({ thresholds: [0.5, 0.5], additions: [0.2, 0.2], p: 1 }, given)
    expect(image).toEqual([0.3, 0.4, 0.2, 0].map((value) => expect.closeTo(value, 6)))
    const left = await solarized({ p: 0 }, given)
    expect([left.image, left.drawn]).toEqual([await numbers(given), [0, 0]])
  })

  test('how often, and in which ranges', async () => {
    const { drawn } = await solarized({ p: 0.4 }, sp.rand([1000, 1, 1, 1]))
    const rows = Array.from({ length: 1000 }, (_, i) => drawn.slice(2 * i, 2 * i + 2)).filter(
      ([threshold]) => threshold !== 0,
    )
    expect(Math.abs(rows.length - 400)).toBeLessThan(4 * Math.sqrt(240))
    for (const [at, low, high] of [
      [0, 0.4, 0.6],
      [1, -0.1, 0.1],
    ] as const) {
      // prettier-ignore
      const found = rows.map((row) => row[at]!)
      expect(Math.min(...found)).toBeGreaterThanOrEqual(low - 1e-6)
      expect(Math.max(...found)).toBeLessThanOrEqual(high + 1e-6)
      const mean = found.reduce((sum, value) => sum + value, 0) / found.length
      expect(Math.abs(mean - (low + high) / 2)).toBeLessThan((4 * (high - low)) / Math.sqrt(12 * found.length))
    }
  })

  test.each([{ thresholds: 0.6 }, { additions: [0, 0.6] }, { p: 2 }])('%j is refused', (options) => {
    expect(() => new sp.RandomSolarizeAdd(options as never)).toThrow(/RandomSolarizeAdd/)
  })

  test.runIf(sp.gpuAdapters().length > 0)(
    'on the device where nothing after it needs the CPU, with the same values',
    async () => {
      const run = async (transforms: sp.BatchTransform[], device: 'cpu' | 'gpu') => {
        const source = { batchTransform: transforms, seed: 3 } as unknown as sp.BatchSource
        const devices: string[] = []
        const move = (made: sp.Batch): sp.Batch => {
          devices.push(made['RandomSolarizeAdd'] === undefined ? 'before' : 'after')
          return { ...made, image: made.image!.to(device), label: made.label!.to(device) }
        }
        const made = await sp.applyBatchTransforms(source, batch(), { epoch: 0, batch: 0 }, move)
        expect(made.image!.device).toBe(device === 'cpu' ? 'cpu' : 'gpu:0')
        return {
          moved: devices,
          image: await numbers(made.image),
          soft: made['soft_label'] && (await numbers(made['soft_label'])),
        }
      }
      const add = new sp.RandomSolarizeAdd({ p: 1 })
      const mix = new sp.RandomMixupCutmix({ numClasses: 3 })
      const [host, gpu] = [await run([add, mix], 'cpu'), await run([add, mix], 'gpu')]
      expect(gpu.moved).toEqual(['before'])
      expect(Math.max(...gpu.image.map((value, i) => Math.abs(value - host.image[i]!)))).toBeLessThan(1e-6)
      expect(gpu.soft).toEqual((host.soft as number[]).map((value) => expect.closeTo(value, 6)))
      const flip = sp.batchTransform(await build('transform', 'random-horizontal-flip', {}))
      expect((await run([add, flip], 'gpu')).moved).toEqual(['before'])
      const mine: sp.BatchTransform = { applyBatch: (made) => made }
      expect((await run([add, mine], 'gpu')).moved).toEqual(['after'])
    },
  )
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

  test('transforms of batches among those of images, in turns and in views', async () => {
    const chain = ['random-horizontal-flip', { type: 'rand-augment', n: 1 }, { type: 'random-solarize-add', p: 1 }]
    const made = await transformed({ type: 'compose', transforms: chain }, batch(40))
    expect(['RandomHorizontalFlip', 'RandAugment', 'RandomSolarizeAdd'].map((key) => (made[key] as sp.Tensor).shape[0])).toEqual([40, 40, 40]) // prettier-ignore
    const { views } = await transformed({ type: 'stacked-multi-view', chain }, batch(40))
    expect(await numbers(views![0]!['RandAugment'])).not.toEqual(await numbers(views![1]!['RandAugment']))
    expect(views!.map((view) => [view.image.shape, view.label!.shape])).toEqual([[[40, 3, 8, 8], [40]], [[40, 3, 8, 8], [40]]]) // prettier-ignore
  })

  test('views by chains of their own', async () => {
    const chains = [[{ type: 'random-invert', p: 1 }], ['random-invert', { type: 'random-solarize-add', p: 1 }]]
    const given = batch()
    const { views } = await transformed({ type: 'chained-multi-view', chains, views_key: 'views' }, given)
    expect(views!.map((view) => 'RandomSolarizeAdd' in view)).toEqual([false, true])
    const [inverted, plain] = [await numbers(views![0]!.image), await numbers(given.image)]
    expect(inverted[7]! + plain[7]!).toBeCloseTo(1, 6)
    await expect(transformed({ type: 'chained-multi-view', chains, views_key: 'crops' })).rejects.toThrow('views_key')
  })

  test('upstream’s names have upstream’s defaults', async () => {
    const target = (name: string, options = {}) => ({
      _target_: `stable_pretraining.data.gpu_transforms.${name}`,
      ...options,
    })
    const steps = async (value: object) => ((await build('transform', value, {})) as sp.Transform).steps
    expect(await steps(target('GPUGaussianBlur'))).toMatchObject([{ kernelSize: [23, 23], sigma: [0.1, 2], p: 0.5 }])
    expect(await steps(target('GPUGaussianBlur', { kernel_size: 5, p: 1 }))).toMatchObject([
      { kernelSize: [5, 5], p: 1 },
    ])
    expect(await steps(target('GPURandomGrayscale'))).toMatchObject([{ p: 0.2 }])
    expect(await steps({ type: 'random-grayscale' })).toMatchObject([{ p: 0.1 }])
    const whole = target('GPUCompose', {
      transforms: [
        target('ToDevice'),
        target('GPURandomResizedCrop', { size: 4 }),
        target('GPURandAugment'),
        target('GPURandomSolarize'),
      ],
      compile: false,
    })
    expect((await transformed(whole)).image!.shape).toEqual([4, 3, 4, 4])
  })

  test('nothing is left of what one transform made and the next replaced', async () => {
    const chain = ['random-horizontal-flip', 'random-invert', 'rand-augment', 'random-solarize-add', 'random-grayscale']
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
