/** Transforms of whole samples: places, conditions, routes, views, functions, masks; what they draw and how it is fixed. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import * as sp from '../../src/index.js'
import { build } from '../plugins/build.js'

const darken = fileURLToPath(new URL('../fixtures/plugins/darken.ts', import.meta.url))
const side = 16
const bytes = side * side * 3

/** `count` images of noise, with labels 0, 1, 0, 1 … and a second picture. */
function dataset(count = 8): sp.Dataset {
  const pixels = Uint8Array.from({ length: count * bytes }, (_, i) => (i * 2_654_435_761) >>> 24)
  const picture = (i: number) => ({ pixels, offset: i * bytes, width: side, height: side, channels: 3 })
  return {
    name: 'noise',
    length: count,
    get: (index) => ({ image: picture(index), other: picture(index), label: index % 2, index }),
  }
}

async function batchOf(
  transform: sp.Transform | sp.MultiView,
  { seed = 0, epoch = 0, count = 8 } = {},
): Promise<sp.Batch> {
  const loader = new sp.DataLoader({ dataset: dataset(count), batchSize: count, transform, seed })
  loader.setEpoch(epoch)
  for await (const batch of loader) return batch
  throw new Error('no batch')
}

const numbers = async (value: unknown): Promise<number[]> => Array.from(await (value as sp.Tensor).data(), Number)
const transform = async (...values: unknown[]) =>
  sp.compose(await Promise.all(values.map((value) => build('transform', value, {}))))
const rows = (flat: number[], count = 8) =>
  Array.from({ length: count }, (_, i) => flat.slice((i * flat.length) / count, ((i + 1) * flat.length) / count))

describe('what is drawn is in the batch', () => {
  test('under class names, made unique; zeros where a step was left out', async () => {
    const flip = { type: 'random-horizontal-flip', p: 0.5 }
    const batch = await batchOf(
      await transform({ type: 'random-resized-crop', size: 8 }, flip, flip, flip, {
        type: 'color-jitter',
        brightness: 0.4,
        p: 0.5,
      }),
    )
    const flips = ['RandomHorizontalFlip', 'RandomHorizontalFlip_0', 'RandomHorizontalFlip_1']
    expect(flips.map((name) => (batch[name] as sp.Tensor).dtype)).toEqual(['bool', 'bool', 'bool'])
    expect(await numbers(batch[flips[0]!])).not.toEqual(await numbers(batch[flips[1]!]))
    expect((batch['RandomResizedCrop'] as sp.Tensor).shape).toEqual([8, 4])
    const jitters = rows(await numbers(batch['ColorJitter']))
    expect(jitters.every((row) => row.length === 8)).toBe(true)
    expect(jitters.some((row) => row.every((number) => number === 0))).toBe(true)
    expect(jitters.some((row) => row[0]! >= 0.6 && row[0]! <= 1.4)).toBe(true)
  })

  test('in each view', async () => {
    const crop = { type: 'random-resized-crop', size: 8 }
    const { views } = await batchOf(await transform({ type: 'multi-view', copies: 2, steps: [crop] }))
    const drawn = await Promise.all(views!.map((view) => numbers(view['RandomResizedCrop'])))
    expect(drawn[0]).not.toEqual(drawn[1])
  })
})

describe('places', () => {
  test('sources that go together share what is drawn', async () => {
    const both = { source: ['image', 'other'] }
    const batch = await batchOf(
      await transform(
        { type: 'random-resized-crop', size: 8, ...both },
        { type: 'color-jitter', hue: 0.4, ...both },
        { type: 'random-invert', p: 1, source: 'other', target: 'negative' },
      ),
    )
    const [image, other, negative] = await Promise.all([batch.image, batch['other'], batch['negative']].map(numbers))
    expect(other).toEqual(image)
    expect(negative![0]! + image![0]!).toBeCloseTo(1, 6)
  })

  test('paths reach into views', async () => {
    const views = { type: 'multi-view', views: [['random-horizontal-flip'], []] }
    const batch = await batchOf(await transform(views, { type: 'random-invert', p: 1, source: 'views.1.image' }))
    const plain = await batchOf(await transform(views))
    const [after, before] = await Promise.all([batch, plain].map(({ views: made }) => numbers(made![1]!.image)))
    expect(after![5]! + before![5]!).toBeCloseTo(1, 6)
    expect(await numbers(batch.views![0]!.image)).toEqual(await numbers(plain.views![0]!.image))
  })

  test('a missing place is an error that says what there is', async () => {
    const wrong = await transform({ type: 'random-invert', source: 'picture' })
    await expect(batchOf(wrong)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/"picture".*image/),
    })
  })
})

describe('control', () => {
  test('conditions: only samples of label 1 are inverted, the others record zero', async () => {
    const batch = await batchOf(
      await transform({ type: 'conditional', transform: { type: 'random-invert', p: 1 }, condition_key: 'label' }),
    )
    expect(await numbers(batch['RandomInvert'])).toEqual([0, 1, 0, 1, 0, 1, 0, 1])
    const [image, plain] = await Promise.all([batch.image, (await batchOf({ steps: [] })).image].map(numbers))
    expect(rows(image!)[0]).toEqual(rows(plain!)[0])
    expect(rows(image!)[1]![0]! + rows(plain!)[1]![0]!).toBeCloseTo(1, 6)
  })

  test('a condition on what was drawn before', async () => {
    const steps = await transform('random-horizontal-flip', {
      type: 'conditional',
      transform: { type: 'random-invert', p: 1 },
      condition_key: 'RandomHorizontalFlip',
      apply_on_true: false,
    })
    const batch = await batchOf(steps)
    const [flips, inverted] = await Promise.all([batch['RandomHorizontalFlip'], batch['RandomInvert']].map(numbers))
    expect(inverted).toEqual(flips!.map((flip) => 1 - flip))
  })

  test('routes; an unknown one names the sample', async () => {
    const routes = { 0: { type: 'random-invert', p: 1 }, 1: { type: 'random-solarize', p: 1 } }
    const batch = await batchOf(await transform({ type: 'routing', key: 'label', transforms: routes }))
    expect(await numbers(batch['RandomSolarize'])).toEqual([0, 1, 0, 1, 0, 1, 0, 1])
    const half = await transform({ type: 'routing', key: 'label', transforms: { 0: routes[0] } })
    await expect(batchOf(half)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('sample 1'),
    })
  })

  test('controlled: the same numbers in every epoch and view, others for another offset', async () => {
    const crop = { type: 'random-resized-crop', size: 8 }
    const draws = async (seed_offset: number, epoch: number) => {
      const controlled = { type: 'controlled', transform: crop, seed_offset }
      const batch = await batchOf(await transform({ type: 'multi-view', copies: 2, steps: [controlled] }), {
        epoch,
        seed: epoch,
      })
      return Promise.all(batch.views!.map((view) => numbers(view['RandomResizedCrop'])))
    }
    const [first, second] = await draws(0, 0)
    expect(second).toEqual(first)
    expect((await draws(0, 5))[0]).toEqual(first)
    expect((await draws(1, 0))[0]).not.toEqual(first)
  })

  test('round robin: transforms in turns', async () => {
    const turns = await transform({
      type: 'round-robin-multi-view',
      transforms: [
        { type: 'random-invert', p: 1 },
        { type: 'random-solarize', p: 1 },
      ],
    })
    expect(await numbers((await batchOf(turns))['RandomInvert'])).toEqual([1, 0, 1, 0, 1, 0, 1, 0])
  })
})

describe('functions', () => {
  test('a Lambda sees pixels after a step, and the whole sample', async () => {
    const seen: unknown[] = []
    const black = new sp.Lambda((image: { pixels: Uint8Array }) => ({ ...image, pixels: image.pixels.map(() => 0) }), {
      source: 'image',
    })
    const doubled = new sp.Lambda((sample: sp.SampleValues, { index }) => {
      seen.push(index)
      return { ...sample, twice: (sample['label'] as number) * 2 }
    })
    const crop = await transform({ type: 'random-resized-crop', size: 8 })
    const batch = await batchOf(new sp.Compose(crop, black, doubled))
    expect(Math.max(...(await numbers(batch.image)))).toBe(0)
    expect(await numbers(batch['twice'])).toEqual([0, 2, 0, 2, 0, 2, 0, 2])
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  test('its failure names the sample', async () => {
    const fails = new sp.Lambda((sample: sp.SampleValues, { index }) => {
      if (index === 3) throw new Error('no face in it')
      return sample
    })
    const message = expect.stringMatching(/sample 3: a Lambda failed: no face in it/)
    await expect(batchOf(fails)).rejects.toMatchObject({ code: 'ERR_DATA', message })
  })

  test('its random numbers follow from seed, epoch, sample and view', async () => {
    const draw = new sp.Lambda((sample: sp.SampleValues, { generator }) => ({ ...sample, drawn: generator.uniform() }))
    const two = new sp.MultiViewTransform([draw, draw])
    const drawn = async (options: object) => {
      const { views } = await batchOf(two, options)
      return Promise.all(views!.map((view) => numbers(view['drawn'])))
    }
    const [first, second] = await drawn({})
    expect(await drawn({})).toEqual([first, second])
    const all = [first, second, ...(await drawn({ seed: 1 })), ...(await drawn({ epoch: 1 }))].flat()
    expect(new Set(all).size).toBe(all.length)
  })

  test('a function of a module runs in worker threads, the same for any number of loader workers', async () => {
    const worker = new sp.WorkerTransform(darken, { options: { most: 0.9 } })
    const one = async (numWorkers: number) => {
      const loader = new sp.DataLoader({ dataset: dataset(), batchSize: 3, transform: worker, numWorkers })
      const found: number[][] = []
      for await (const batch of loader) found.push(await numbers(batch.image))
      return found
    }
    const alone = await one(0)
    expect(await one(3)).toEqual(alone)
    const plain = await numbers((await batchOf({ steps: [] })).image)
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
    expect(sum(alone[0]!)).toBeLessThan(sum(plain.slice(0, alone[0]!.length)))
  })

  test.each([
    [{ export: 'failing' }, /sample 2: failing of .*cannot see it/],
    [{ export: 'absent' }, /exports no function "absent"; it has default, failing/],
  ])('a function that cannot be run is named: %j', async (options, message) => {
    await expect(batchOf(new sp.WorkerTransform(darken, options))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(message),
    })
  })
})

describe('masks', () => {
  test('random-mask: visible and hidden patches are all patches, and ids_restore puts them back', async () => {
    const batch = await batchOf(await transform({ type: 'random-mask', patch_size: 4, mask_ratio: 0.7 }))
    const [visible, masked, restore] = await Promise.all(
      ['mask_visible', 'mask_masked', 'ids_restore'].map(async (key) => rows(await numbers(batch[key]))),
    )
    expect(await numbers(batch['len_keep'])).toEqual(Array(8).fill(4))
    const order = [...visible![0]!, ...masked![0]!]
    expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i))
    expect(restore![0]!.map((place) => order[place])).toEqual(Array.from({ length: 16 }, (_, i) => i))
    expect(visible![1]).not.toEqual(visible![0])
  })

  test('patch-masking: so many patches are black, as the grid says', async () => {
    const batch = await batchOf(await transform({ type: 'patch-masking', patch_size: 4, drop_ratio: 0.3 }))
    const mask = batch['patch_mask'] as sp.Tensor
    expect([mask.shape, mask.dtype]).toEqual([[8, 4, 4], 'bool'])
    const grid = rows(await numbers(mask))
    expect(grid.map((kept) => kept.filter((keep) => keep === 0).length)).toEqual(Array(8).fill(4))
    const image = await numbers(batch.image)
    const hidden = grid[0]!.indexOf(0)
    const [top, left] = [Math.floor(hidden / 4) * 4, (hidden % 4) * 4]
    expect(image[top * side + left]).toBe(0)
  })

  test('blocks: the context has no patch of a target and keeps its least', async () => {
    const batch = await batchOf(
      await transform({ type: 'context-targets-multi-block-mask', patch_size: 2, min_keep: 5 }),
    )
    const context = rows(await numbers(batch['mask_context']))
    expect(context[0]!.length).toBeGreaterThanOrEqual(5)
    const targets = await Promise.all([0, 1, 2, 3].map(async (i) => rows(await numbers(batch[`masks_target_${i}`]))))
    for (const [sample, patches] of context.entries()) {
      const taken = new Set(targets.flatMap((target) => target[sample]!))
      expect(patches.some((patch) => taken.has(patch))).toBe(false)
      // One pair of ranges, one size.
      expect(new Set(targets.map((target) => target[sample]!.length)).size).toBe(1)
    }
  })
})

test('views are counted wherever they are made', async () => {
  const two = { type: 'multi-view', copies: 2, steps: ['random-invert'] }
  expect(sp.viewCount(await transform('rgb', two))).toBe(2)
  expect(sp.viewCount(await transform('rgb'))).toBe(1)
  expect(sp.viewCount(new sp.Lambda((sample) => sample))).toBeUndefined()
})

test('a transform of whole batches is refused among those of samples', async () => {
  await expect(transform({ type: 'random-mixup-cutmix', num_classes: 2 })).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED',
  })
})
