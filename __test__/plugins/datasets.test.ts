/** Every built-in data set, built as a configuration names it, on real files. */
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import type { Dataset } from '../../src/data/sample.js'
import { fixture, fixtures, temporaryFolder, written } from '../data/fixtures.js'
import { build, problemsOf } from './build.js'

const folder = await temporaryFolder()
const photos = fixture('photos-cifar10-layout.bin')

const dataset = (value: unknown, root = fixtures) => build('dataset', value, { root }) as Promise<Dataset>

test('idx: paths are relative to the configuration', async () => {
  const images = 'fashion-mnist/t10k-images-idx3-ubyte.gz'
  const clothes = await dataset({ type: 'idx', images, labels: 'fashion-mnist/t10k-labels-idx1-ubyte' })
  expect(clothes.length).toBe(64)
  expect(await clothes.get(0)).toMatchObject({ label: 9 })
  const unlabelled = await dataset({ type: 'idx', images })
  expect(await unlabelled.get(0)).not.toHaveProperty('label')
})

test('fashion-mnist: packed or not, by split, with its classes', async () => {
  const clothes = await dataset({ type: 'fashion-mnist', root: 'fashion-mnist', split: 'test' })
  expect(clothes).toMatchObject({ name: 'fashion-mnist test', length: 64 })
  const { label } = await clothes.get(0)
  expect(clothes.classes?.[label as number]).toBe('Ankle boot')
  await expect(dataset({ type: 'fashion-mnist', root: 'fashion-mnist' })).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: `${fixture('fashion-mnist', 'train-images-idx3-ubyte')}: no such file`,
    hint: expect.stringContaining('train-images-idx3-ubyte.gz'),
  })
})

test('cifar10: all files of a split, or the ones named', async () => {
  for (let number = 1; number <= 5; number++) await copyFile(photos, join(folder, `data_batch_${number}.bin`))
  await written(folder, 'test_batch.bin.gz', gzipSync(await readFile(photos)))
  const lengths = [{}, { split: 'test' }, { files: ['data_batch_2.bin'] }].map(
    async (part) => (await dataset({ type: 'cifar10', root: folder, ...part })).length,
  )
  expect(await Promise.all(lengths)).toEqual([45, 9, 9])
  const { classes } = await dataset({ type: 'cifar10', root: '.', split: 'test' }, folder)
  expect(classes?.[2]).toBe('bird')
  await expect(dataset({ type: 'cifar10', root: folder, files: ['data_batch_6.bin'] })).rejects.toMatchObject({
    code: 'ERR_DATA',
    hint: expect.stringContaining('cifar-10-batches-bin/data_batch_6.bin.gz'),
  })
})

test('cifar100: fine and coarse labels', async () => {
  const record = (await readFile(photos)).subarray(1, 3073)
  await written(folder, 'train.bin', Buffer.concat([Buffer.from([19, 99]), record]))
  const fine = await dataset({ type: 'cifar100', root: folder })
  expect(fine.classes).toHaveLength(100)
  expect(fine.classes?.[(await fine.get(0)).label as number]).toBe('worm')
  const coarse = await dataset({ type: 'cifar100', root: folder, labels: 'coarse' })
  expect(coarse.classes).toHaveLength(20)
  expect(coarse.classes?.[(await coarse.get(0)).label as number]).toBe('vehicles_2')
})

test('image-folder', async () => {
  const flowers = await dataset({ _target_: 'torchvision.datasets.ImageFolder', root: 'photos' })
  expect(flowers).toMatchObject({ length: 18, classes: ['daisy', 'roses', 'tulips'] })
  await expect(dataset({ type: 'image-folder', root: 'fotos' })).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: `${fixture('fotos')}: no such folder of images`,
  })
})

test('manifest, npz, parquet, webdataset: paths are relative to the configuration', async () => {
  const inside = (value: object) => dataset(value, fixture('containers'))
  const classes = ['daisy', 'roses', 'tulips']
  expect(await inside({ type: 'manifest', path: 'list.csv' })).toMatchObject({ length: 6, classes })
  expect(await inside({ type: 'npz', path: 'photos.npz', images: 'grey' })).toMatchObject({ length: 9, channels: 1 })
  expect(await inside({ type: 'parquet', files: ['hub.parquet', 'none.parquet'] })).toMatchObject({
    length: 8,
    classes,
  })
  const shards = await inside({ type: 'webdataset', shards: 'shard-{000..002}.tar', label: 'json.label', classes })
  expect(await shards.get(3)).toMatchObject({ label: 1 })
})

test('hugging-face: a folder, a split, columns renamed and removed', async () => {
  const flowers = (more: object) => dataset({ type: 'hugging-face', path: 'containers/repository', ...more })
  expect(await flowers({})).toMatchObject({ length: 2, name: 'containers/repository train' })
  const target = { _target_: 'stable_pretraining.data.HFDataset', path: 'containers/repository', split: 'validation' }
  const renamed = await dataset({ ...target, rename_columns: { weight: 'importance' }, remove_columns: ['label'] })
  expect(await renamed.get(0)).toEqual({ image: expect.anything(), index: 0, importance: 3 })
  await expect(flowers({ split: 'test' })).rejects.toMatchObject({ hint: 'There are: train, validation.' })
  await expect(dataset({ type: 'hugging-face', path: 'owner/not-here', cache_dir: folder })).rejects.toMatchObject({
    code: 'ERR_DATA',
    hint: expect.stringContaining('hf download owner/not-here'),
  })
})

test('concat, subset, random-split and columns take any other data set', async () => {
  const clothes = { type: 'fashion-mnist', root: 'fashion-mnist', split: 'test' }
  expect(await dataset({ type: 'concat', datasets: [clothes, clothes] })).toMatchObject({ length: 128 })
  expect(await dataset({ type: 'subset', dataset: clothes, start: 10, stop: 30 })).toMatchObject({ length: 20 })
  const few = await dataset({ _target_: 'torch.utils.data.Subset', dataset: clothes, indices: [5, 3] })
  const whole = await dataset(clothes)
  expect((await few.get(1)).label).toBe((await whole.get(3)).label)
  const parts = [0, 1].map((part) =>
    dataset({ type: 'random-split', dataset: clothes, lengths: [0.8, 0.2], part, seed: 4 }),
  )
  const indices = (await Promise.all(parts)).flatMap((part) =>
    Array.from((part as unknown as { indices: Uint32Array }).indices),
  )
  expect(indices.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => i))
  const renamed = await dataset({ type: 'columns', dataset: clothes, rename: { label: 'fine' } })
  expect(await renamed.get(0)).toMatchObject({ fine: 9 })
  for (const wrong of [
    { type: 'subset', dataset: clothes, start: 64 },
    { type: 'subset', dataset: clothes, indices: [0], start: 1 },
    { type: 'random-split', dataset: clothes, lengths: [0.5, 0.5], part: 2 },
  ])
    await expect(dataset(wrong)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('bad options are refused', () => {
  expect(problemsOf('dataset', { type: 'cifar10', root: '.', split: 'val' }).join()).toMatch(/^split: /)
  expect(problemsOf('dataset', { type: 'image-folder' }).join()).toMatch(/^root: /)
  expect(problemsOf('dataset', { type: 'image-foldr', root: '.' }).join()).toMatch(/image-folder/)
})
