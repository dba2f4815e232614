/** Clips: every transform of images does to each frame what it does to that frame alone, with the same numbers; frames chosen. */
import { describe, expect, test } from 'vitest'
import * as sp from '../../src/index.js'
import { build } from '../plugins/build.js'

const side = 16
const bytes = side * side * 3
const frames = 3

/** Frame `frame` of clip `index`: noise of its own. */
function frameOf(index: number, frame: number): sp.ImageSource {
  const pixels = Uint8Array.from(
    { length: bytes },
    (_, i) => ((i + (index * 7 + frame) * bytes) * 2_654_435_761) >>> 24,
  )
  return { pixels, offset: 0, width: side, height: side, channels: 3 }
}

const clips = (length = frames): sp.Dataset => ({
  name: 'clips',
  length: 4,
  get: (index) => ({ image: Array.from({ length }, (_, frame) => frameOf(index, frame)), index }),
})

/** One frame of each clip as images. */
const stills = (frame: number): sp.Dataset => ({
  name: 'stills',
  length: 4,
  get: (index) => ({ image: frameOf(index, frame), index }),
})

async function batchOf(dataset: sp.Dataset, transform: sp.Transform | sp.MultiView, floats = false): Promise<sp.Batch> {
  const how = floats ? { batchTransform: [sp.batchTransform(transform)] } : { transform }
  const loader = new sp.DataLoader({ dataset, batchSize: 4, seed: 5, ...how })
  for await (const batch of loader) return sp.applyBatchTransforms(loader, batch, { epoch: 0, batch: 0 })
  throw new Error('no batch')
}

const values = async (tensor: unknown) => Array.from(await (tensor as sp.Tensor).data(), Number)
const transform = async (value: unknown) => sp.compose([(await build('transform', value, {})) as sp.Transform])

const options = [
  { type: 'to-image', mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.3] },
  { type: 'rgb' },
  { type: 'resize', size: 9 },
  { type: 'center-crop', size: 8 },
  { type: 'random-crop', size: 12, padding: 2 },
  { type: 'random-resized-crop', size: 8 },
  { type: 'random-horizontal-flip' },
  { type: 'random-vertical-flip' },
  { type: 'color-jitter', brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, p: 0.8 },
  { type: 'random-grayscale', p: 0.5 },
  { type: 'random-solarize' },
  { type: 'random-autocontrast' },
  { type: 'random-equalize' },
  { type: 'random-invert' },
  { type: 'random-posterize', bits: 3 },
  { type: 'random-adjust-sharpness', sharpness_factor: 2 },
  { type: 'gaussian-blur', kernel_size: 3 },
  { type: 'pil-gaussian-blur' },
  { type: 'gaussian-noise' },
  { type: 'additive-gaussian', sigma: 0.1 },
  { type: 'random-erasing' },
  { type: 'random-affine', degrees: 20, translate: [0.2, 0.2], scale: [0.8, 1.2], shear: 10 },
  { type: 'random-perspective' },
  { type: 'random-rotation', degrees: 30 },
  { type: 'random-channel-permutation' },
  { type: 'patch-masking', patch_size: 4 },
]

describe.each([false, true])('each frame as it would be alone (floats, in the batch: %s)', (floats) => {
  test.each(options)('$type', async (option) => {
    // Not every step takes floats by the same arguments.
    const adapted = floats && option.type === 'random-solarize' ? { ...option, threshold: 0.5 } : option
    const steps = await transform(adapted)
    const whole = await batchOf(clips(), steps, floats)
    const all = await values(whole.image)
    const [count, length, ...shape] = whole.image!.shape
    expect([count, length]).toEqual([4, frames])
    for (let frame = 0; frame < frames; frame++) {
      const alone = await batchOf(stills(frame), steps, floats)
      expect(alone.image!.shape).toEqual([4, ...shape])
      const one = await values(alone.image)
      const size = one.length / 4
      for (let clip = 0; clip < 4; clip++) {
        const at = (clip * frames + frame) * size
        expect(all.slice(at, at + size)).toEqual(one.slice(clip * size, (clip + 1) * size))
      }
      for (const key of Object.keys(alone).filter((name) => /^[A-Z]/.test(name)))
        expect(await values(whole[key])).toEqual(await values(alone[key]))
      sp.disposeBatch(alone)
    }
    sp.disposeBatch(whole)
  })
})

describe('frames', () => {
  /** Clips whose frames are of one grey level each: their number. */
  const numbered = (lengths: readonly number[]): sp.Dataset => ({
    name: 'numbered',
    length: lengths.length,
    get: (index) => ({
      image: { pixels: new Uint8Array(4), offset: 0, width: 2, height: 2, channels: 1 },
      video: Array.from({ length: lengths[index] as number }, (_, frame) => ({
        pixels: new Uint8Array(4).fill(frame),
        offset: 0,
        width: 2,
        height: 2,
        channels: 1,
      })),
      index,
    }),
  })
  const chosen = async (dataset: sp.Dataset, value: object, count = dataset.length) => {
    const steps = await transform({ ...value, source: 'video' })
    for await (const batch of new sp.DataLoader({ dataset, batchSize: count, transform: steps, seed: 2 })) {
      const video = batch['video'] as sp.Tensor
      const levels = (await values(video)).filter((_, i) => i % 4 === 0).map((value) => Math.round(value * 255))
      const each = video.shape[1] as number
      return { batch, rows: Array.from({ length: count }, (_, i) => levels.slice(i * each, (i + 1) * each)) }
    }
    throw new Error('no batch')
  }

  test('evenly spread, as torch.linspace(0, frames - 1, n).long(); clips of any length become one batch', async () => {
    const { rows } = await chosen(numbered([10, 4, 1, 7]), { type: 'uniform-temporal-subsample', num_samples: 4 })
    expect(rows).toEqual([[0, 3, 6, 9], [0, 1, 2, 3], [0, 0, 0, 0], [0, 2, 4, 6]]) // prettier-ignore
    const { rows: first } = await chosen(numbered([10, 4]), { type: 'UniformTemporalSubsample', num_samples: 1 })
    expect(first).toEqual([[0], [0]])
  })

  test('a stretch: each start equally often, recorded, the rest of the frames behind it', async () => {
    const sampler = { type: 'random-contiguous-temporal-sampler', num_frames: 3, frame_subsampling: 2 }
    const { batch, rows } = await chosen(numbered(Array<number>(600).fill(8)), sampler)
    const starts = await values(batch['RandomContiguousTemporalSampler'])
    expect(rows).toEqual(starts.map((start) => [start, start + 2, start + 4]))
    const counts = [0, 1, 2, 3].map((start) => starts.filter((found) => found === start).length)
    expect(counts.reduce((sum, count) => sum + count)).toBe(600)
    // 150 of 600 each, to four deviations.
    for (const count of counts) expect(Math.abs(count - 150)).toBeLessThan(4 * Math.sqrt(600 * 0.25 * 0.75))
  })

  test('too short a clip, none at all, clips of different lengths: the sample or the key is named', async () => {
    const sampler = { type: 'random-contiguous-temporal-sampler', num_frames: 3, frame_subsampling: 2 }
    await expect(chosen(numbered([8, 4]), sampler)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/sample 1: a clip of 4 frames, a stretch of 5/),
    })
    const steps = await transform({ type: 'uniform-temporal-subsample', num_samples: 2 })
    await expect(batchOf(stills(0), steps)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/sample 0: expected a clip/),
    })
    await expect(chosen(numbered([3, 2]), { type: 'random-invert' })).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: expect.stringMatching(/"video" has clips of 3 and 2 frames/),
    })
  })
})
