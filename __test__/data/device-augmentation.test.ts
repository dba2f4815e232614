/** Augmentation of whole batches where they lie: against the native transforms of single photos, and a GPU against the CPU. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { startRun } from '../../src/app/run.js'
import * as sp from '../../src/index.js'
import { Pipeline, transformBatch } from '../../src/native.js'
import { tellDevice } from '../../src/train/device.js'
import { build } from '../plugins/build.js'
import { fixture, temporaryFolder } from './fixtures.js'

const there = sp.gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')
const devices: sp.DeviceName[] = there ? ['cpu', 'gpu'] : ['cpu']

const numbers = async (value: sp.Tensor): Promise<number[]> => Array.from((await value.data()) as Float32Array)
const simclr = { type: 'simclr', size: 24, blur: 0.5, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4] }

/** Photos of 48² pixels: bytes, channels interleaved, as a data set holds them. */
async function photos(): Promise<sp.RawImage[]> {
  const folder = await sp.ImageFolderDataset.open(fixture('photos'))
  const transform: sp.Transform = {
    steps: [{ type: 'resize', size: [48, 48], interpolation: 'bilinear', antialias: true }],
  }
  const loader = new sp.DataLoader({ dataset: folder, batchSize: 18, transform })
  for await (const batch of loader) {
    const image = batch.image as sp.Tensor
    const levels = (await image.permute([0, 2, 3, 1]).contiguous().data()) as Float32Array
    const pixels = Uint8Array.from(levels, (value) => Math.round(value * 255))
    sp.disposeBatch(batch)
    return Array.from({ length: 18 }, (_, i) => ({
      pixels,
      offset: i * 48 * 48 * 3,
      width: 48,
      height: 48,
      channels: 3,
    }))
  }
  return []
}

const raw = await photos()
const folder = await temporaryFolder()
const batchOf = (count = 18): sp.Tensor =>
  sp
    .tensor(
      Float32Array.from(raw[0]!.pixels, (level) => level / 255),
      { shape: [18, 48, 48, 3] },
    )
    .permute([0, 3, 1, 2])
    .narrow(0, 0, count)

/** Grey levels between the bytes of the native transform and those of the batch, on a device, drawn by the same numbers. */
async function differences(
  device: sp.DeviceName,
  add: (pipeline: Pipeline, floats: boolean) => void,
): Promise<{ within: number; most: number; mean: number }> {
  const [bytes, floats] = [new Pipeline(), new Pipeline(true)]
  add(bytes, false)
  bytes.toImage()
  add(floats, true)
  const samples = raw.map((_, i) => i)
  const images = raw.map(({ pixels: data, ...own }) => ({ data, ...own }))
  const native = await transformBatch(images, [bytes], 3, 1, samples)
  const made = floats.augment(batchOf().to(device), 3, 1, samples)
  expect(Array.from(made.record)).toEqual(Array.from(native.records[0]!))
  const [expected, found] = [await numbers(native.views[0]!), await numbers(made.images)]
  native.views[0]!.dispose()
  let [within, most, sum] = [0, 0, 0]
  for (const [i, value] of found.entries()) {
    const far = Math.abs(value - expected[i]!) * 255
    if (far <= 1.001) within++
    most = Math.max(most, far)
    sum += far
  }
  return { within: within / found.length, most, mean: sum / found.length }
}

describe.each(devices)('beside the native transform of bytes, on %s', (device) => {
  const range = (by: number) => [1 - by, 1 + by]
  const cases: Record<string, (pipeline: Pipeline, floats: boolean) => void> = {
    crop: (pipeline) => pipeline.randomResizedCrop([32, 32], [0.08, 1], [0.75, 4 / 3], 'bilinear', true),
    'crop, bicubic': (pipeline) => pipeline.randomResizedCrop([32, 32], [0.08, 1], [0.75, 4 / 3], 'bicubic', true),
    flips: (pipeline) => (pipeline.randomHorizontalFlip(0.5), pipeline.randomVerticalFlip(0.5)),
    brightness: (pipeline) => pipeline.colorJitter(range(0.4), null, null, null, 1),
    contrast: (pipeline) => pipeline.colorJitter(null, range(0.4), null, null, 1),
    saturation: (pipeline) => pipeline.colorJitter(null, null, range(0.4), null, 1),
    hue: (pipeline) => pipeline.colorJitter(null, null, null, [-0.1, 0.1], 1),
    grey: (pipeline) => pipeline.randomGrayscale(0.5),
    blur: (pipeline) => pipeline.gaussianBlur([5, 5], [0.1, 2], 0.5),
    solarize: (pipeline, floats) => pipeline.randomSolarize(floats ? 128 / 255 : 128, 0.5),
    erasing: (pipeline, floats) => pipeline.randomErasing([0.02, 0.33], [0.3, 3.3], [floats ? 0.4 : 102], 0.5),
  }
  test.each(Object.entries(cases))('%s', async (name, add) => {
    const { within, most } = await differences(device, add)
    // Of bytes the grey value with which these blend loses its fraction too.
    expect(within).toBeGreaterThan(['contrast', 'saturation'].includes(name) ? 0.9 : 0.99)
    // A cubic filter may leave the range of bytes, which floats keep.
    expect(name === 'crop, bicubic' ? 0 : most).toBeLessThan(2)
  })

  test('SimCLR’s whole list: bytes drop their fraction after each change of colour, floats do not', async () => {
    const { mean } = await differences(device, (pipeline) => {
      pipeline.randomResizedCrop([32, 32], [0.08, 1], [0.75, 4 / 3], 'bilinear', true)
      pipeline.randomHorizontalFlip(0.5)
      pipeline.colorJitter(range(0.4), range(0.4), range(0.4), [-0.1, 0.1], 0.8)
      pipeline.randomGrayscale(0.2)
      pipeline.gaussianBlur([3, 3], [0.1, 2], 0.5)
    })
    // Half a level for each of the changes that were done.
    expect(mean).toBeLessThan(1.5)
  })
})

describe('as a batch transform', () => {
  const source = async (value: unknown) =>
    ({ batchTransform: [sp.batchTransform(await build('transform', value, {}))], seed: 3 }) as unknown as sp.BatchSource
  const made = async (value: unknown, device: sp.DeviceName, count = 18) => {
    const label = sp.tensor(BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 3)))
    const batch: sp.Batch = { image: batchOf(count), label, index: label }
    const move = (own: sp.Batch): sp.Batch => ({ ...own, image: own.image!.to(device), label: own.label!.to(device) })
    return sp.applyBatchTransforms(await source(value), batch, { epoch: 1, batch: 2 }, move)
  }

  test('recipes of views whose thresholds are grey levels', async () => {
    const { views } = await made({ type: 'byol', size: 16, solarize: [1, 0] }, 'cpu')
    expect(views!.map(({ image }) => image.shape)).toEqual([[18, 3, 16, 16], [18, 3, 16, 16]]) // prettier-ignore
    expect(await numbers(views![0]!['RandomSolarize'] as sp.Tensor)).toEqual(Array(18).fill(1))
  })

  test('clips: frames share their numbers', async () => {
    const clip = sp.stack([batchOf(4), batchOf(4)], 1)
    const { batchTransform } = await source({ type: 'random-resized-crop', size: 8 })
    const context = { epoch: 0, batch: 0, generator: new sp.Generator(1) }
    const { image, RandomResizedCrop: record } = await batchTransform![0]!.applyBatch(
      { image: clip, index: sp.arange(4) },
      context,
    )
    expect([image!.shape, (record as sp.Tensor).shape]).toEqual([
      [4, 2, 3, 8, 8],
      [4, 4],
    ])
    expect(await numbers(image!.narrow(1, 0, 1))).toEqual(await numbers(image!.narrow(1, 1, 1)))
  })

  describe.skipIf(!there)('on a GPU', () => {
    test('the pixels and the numbers of the CPU', async () => {
      const [host, gpu] = [await made(simclr, 'cpu'), await made(simclr, 'gpu')]
      for (const [i, view] of gpu.views!.entries()) {
        expect(view.image.device).toBe('gpu:0')
        const [found, expected] = [await numbers(view.image), await numbers(host.views![i]!.image)]
        // In units of the deviation, 0.2: far below a grey level.
        expect(Math.max(...found.map((value, k) => Math.abs(value - expected[k]!)))).toBeLessThan(1e-4)
        for (const key of ['RandomResizedCrop', 'ColorJitter', 'GaussianBlur'])
          expect(await numbers(view[key] as sp.Tensor)).toEqual(await numbers(host.views![i]![key] as sp.Tensor))
      }
    })

    test('as many dispatches for any batch, and nothing read', async () => {
      const counted = async (count: number, transform: unknown = simclr) => {
        await made(transform, 'gpu', count)
        const before = sp.gpuStatistics('gpu')
        await made(transform, 'gpu', count)
        const now = sp.gpuStatistics('gpu')
        return [now.dispatches - before.dispatches, now.downloadedBytes - before.downloadedBytes]
      }
      for (const other of [{}, { mixup_alpha: 0 }, { cutmix_alpha: 0 }]) {
        const mix = { type: 'random-mixup-cutmix', num_classes: 3, ...other }
        const found = await counted(18, mix)
        expect(found).toEqual(await counted(6, mix))
        expect(found[1]).toBe(0)
      }
      const [few, many] = [await counted(6), await counted(18)]
      expect(few).toEqual(many)
      // Of each view: crop, flip, sums for the contrast, changes of pixels, blur along both sides, normalization.
      expect(many).toEqual([2 * 7, 0])
    })

    test('from YAML: the losses of the CPU', { timeout: 60_000 }, async () => {
      const config = join(folder, 'run.yaml')
      const photos = fixture('photos')
      await writeFile(
        config,
        `seed: 3
cache_dir: ${folder}
data:
  train:
    dataset: { type: image-folder, root: ${photos} }
    batch_size: 9
    transform: { type: resize, size: [24, 24] }
    batch_transform: { type: simclr, size: 16, statistics: ImageNet }
backbone: ${fixture('../runs/small-backbone.ts')}
method: { type: simclr, projector_dims: [32, 16] }
optimizer: { type: SGD, lr: 0.03 }
logger: [csv, console]
trainer: { max_steps: 3, log_every_n_steps: 1, num_sanity_val_steps: 0 }
`,
      )
      const write = vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
      const error = vi.spyOn(console, 'error').mockImplementation(() => undefined)
      const losses = async (...changes: string[]) => {
        const { runDirectory } = await startRun(config, changes)
        const [head, ...rows] = (await readFile(join(runDirectory, 'metrics.csv'), 'utf8')).trim().split('\n')
        const column = head!.split(',').indexOf('fit/loss_step')
        return rows.map((row) => Number(row.split(',')[column])).filter((loss) => loss > 0)
      }
      try {
        const [host, gpu] = [await losses('device=cpu'), await losses('device=gpu')]
        expect(gpu).toHaveLength(3)
        for (const [step, loss] of gpu.entries()) expect(Math.abs(loss - host[step]!)).toBeLessThan(1e-3)
      } finally {
        write.mockRestore()
        error.mockRestore()
      }
    })

    test('RandAugment, and the functions it is made of', async () => {
      const [host, gpu] = [await made('rand-augment', 'cpu'), await made('rand-augment', 'gpu')]
      expect(gpu.image!.device).toBe('gpu:0')
      expect(await numbers(gpu['RandAugment'] as sp.Tensor)).toEqual(await numbers(host['RandAugment'] as sp.Tensor))
      const [found, expected] = [await numbers(gpu.image!), await numbers(host.image!)]
      const far = found.filter((value, i) => Math.abs(value - expected[i]!) > 1e-4).length
      // A level that falls between two bytes may become the one or the other when levels are spread.
      expect(far / found.length).toBeLessThan(0.001)
      const clip = batchOf(4).reshape([2, 2, 3, 48, 48])
      const turned = sp.functional.rotate(clip.to('gpu'), 30)
      expect([turned.device, turned.shape]).toEqual(['gpu:0', [2, 2, 3, 48, 48]])
      const [a, b] = [await numbers(turned), await numbers(sp.functional.rotate(clip, 30))]
      expect(a.filter((value, i) => Math.abs(value - b[i]!) > 1e-4).length / a.length).toBeLessThan(0.005)
      expect(() => sp.functional.adjustGamma(clip.to('gpu'), 2)).toThrow('adjustGamma has no kernel for GPUs')
    })

    test('noise, patches and Pillow’s blur', async () => {
      const transforms = [
        { type: 'pil-gaussian-blur', sigma: [0.5, 2] },
        { type: 'gaussian-noise', sigma: 0.2 },
        { type: 'random-erasing', value: 'random' },
        { type: 'patch-masking', patch_size: 8 },
      ]
      const chain = { type: 'compose', transforms }
      const [host, gpu] = [await made(chain, 'cpu'), await made(chain, 'gpu')]
      expect(gpu.image!.device).toBe('gpu:0')
      const [found, expected] = [await numbers(gpu.image!), await numbers(host.image!)]
      expect(found.filter((value, i) => Math.abs(value - expected[i]!) > 1e-4)).toEqual([])
    })

    test('one of a user’s own that needs the CPU is done before batches are moved', async () => {
      class Mine implements sp.BatchTransform {
        applyBatch(batch: sp.Batch): sp.Batch {
          expect(batch.image!.device).toBe('cpu')
          return { ...batch, image: batch.image!.mul(2) }
        }
      }
      const { batchTransform } = await source('random-horizontal-flip')
      const both = { batchTransform: [...batchTransform!, new Mine()], seed: 3 } as unknown as sp.BatchSource
      const batch = { image: batchOf(), index: sp.arange(18) } as sp.Batch
      const move = (own: sp.Batch): sp.Batch => ({ ...own, image: own.image!.to('gpu') })
      const moved = await sp.applyBatchTransforms(both, batch, { epoch: 0, batch: 0 }, move)
      expect(moved.image!.device).toBe('gpu:0')
      const lines: string[] = []
      tellDevice('gpu:0', [both, undefined], (line) => lines.push(line))
      expect(lines.at(-1)).toBe('batch_transform: Mine works on the CPU; it and what stands before it are done there')
    })
  })
})
