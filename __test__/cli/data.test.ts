/** `spt data`: statistics to paste, and a picture of what the network sees; skipped samples of a run in its folder. */
import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { decodeImage } from '../../src/native.js'
import { fixtures, spt, tiny } from './process.js'

const folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-data-cli-')))
afterAll(() => rm(folder, { recursive: true }))

test('stats prints the normalize line of YAML', { timeout: 60_000 }, async () => {
  const clothes = `{type: fashion-mnist, root: ${fixtures}/data/fashion-mnist, split: test}`
  const { status, output } = await spt(['data', 'stats', tiny, `data.train.dataset=${clothes}`])
  expect({ status, output }).toMatchObject({
    status: 0,
    output: expect.stringContaining('# fashion-mnist test, train: 64 images, 28 wide, 28 high'),
  })
  const [line] = parse(/^- .*$/m.exec(output)?.[0] ?? '') as { type: string; mean: number[] }[]
  expect(line).toMatchObject({ type: 'normalize', mean: [expect.closeTo(0.29, 1)], std: [expect.closeTo(0.35, 1)] })
})

test('show writes a row an image and a column a view', { timeout: 60_000 }, async () => {
  const file = join(folder, 'views.png')
  const views =
    'data.train.transform={type: multi-view, copies: 2, steps: [{type: random-resized-crop, size: 20}, {type: normalize, statistics: ImageNet}]}'
  const { status, output } = await spt(['data', 'show', tiny, '--images', '3', '--output', file, views])
  expect({ status, output }).toEqual({ status: 0, output: `${file}: 3 images in rows, 2 views of each\n` })
  const { width, height, data } = await decodeImage(await readFile(file))
  expect([width, height]).toEqual([2 * 22 + 2, 3 * 22 + 2])
  expect([...data.subarray(0, 6)]).toEqual([255, 255, 255, 255, 255, 255])
  expect(new Set(data).size).toBeGreaterThan(100)
})

test('show makes the views that whole batches are made into, and of clips a frame', { timeout: 60_000 }, async () => {
  const file = join(folder, 'batch.png')
  const show = (...changes: string[]) => spt(['data', 'show', tiny, '--images', '2', '--output', file, ...changes])
  const made = await show(
    'data.train.transform={type: resize, size: [16, 16]}',
    'data.train.batch_transform={type: stacked-multi-view, chain: {type: random-resized-crop, size: 10}, n_views: 3}',
  )
  expect(made).toMatchObject({ status: 0, output: `${file}: 2 images in rows, 3 views of each\n` })
  expect(await decodeImage(await readFile(file))).toMatchObject({ width: 3 * 12 + 2, height: 2 * 12 + 2 })
  const clips = await show(
    `data.train.dataset={type: parquet, files: ${fixtures}/data/containers/clips.parquet}`,
    'data.train.transform={type: resize, size: [12, 12]}',
    'data.train.batch_size=2',
  )
  expect(clips).toMatchObject({ status: 0, output: `${file}: 2 images in rows, 1 view of each\n` })
})

test('fewer images than a batch', { timeout: 60_000 }, async () => {
  const clips = `data.train.dataset={type: parquet, files: ${fixtures}/data/containers/clips.parquet}`
  const { status, output } = await spt(['data', 'show', tiny, '--output', join(folder, 'none.png'), clips])
  expect({ status, output }).toEqual({
    status: 1,
    output: expect.stringMatching(/no whole batch in train.*There are 2 images: lower data\.train\.batch_size/s),
  })
})

test('a part that is not there', { timeout: 60_000 }, async () => {
  const { status, output } = await spt(['data', 'stats', tiny, '--part', 'test'])
  expect({ status, output }).toEqual({ status: 1, output: expect.stringContaining('no test data') })
})

test('a run with damaged photos goes on, and lists them in its folder', { timeout: 120_000 }, async () => {
  const photos = join(folder, 'photos')
  await cp(join(fixtures, 'data', 'photos'), photos, { recursive: true })
  const bad = join(photos, 'roses', '10503217854_e66a804309.jpg')
  await writeFile(bad, (await readFile(bad)).subarray(0, 1500))
  const arguments_ = ['run', tiny, `cache_dir=${folder}`, `data.train.dataset.root=${photos}`]
  const stopped = await spt(arguments_)
  expect({ status: stopped.status, output: stopped.output }).toEqual({
    status: 1,
    output: expect.stringContaining(bad),
  })
  const { status, output, directory } = await spt([...arguments_, 'data.on_error=skip'])
  expect({ status, output }).toEqual({
    status: 0,
    output: expect.stringContaining('skipped 1 sample that could not be read'),
  })
  const lines = (await readFile(join(directory, 'skipped-samples.jsonl'), 'utf8')).trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    {
      part: 'train',
      index: expect.any(Number),
      path: bad,
      message: expect.stringContaining('JPEG image'),
      epoch: expect.any(Number),
    },
  ])
})
