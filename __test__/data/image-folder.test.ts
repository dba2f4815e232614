/** Image folders: classes and files in a fixed order, and clear words where the layout is another. */
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DataLoader } from '../../src/data/data-loader.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import type { EncodedImage } from '../../src/data/sample.js'
import type { Transform } from '../../src/data/transform.js'
import { fixture, temporaryFolder, written } from './fixtures.js'

const folder = await temporaryFolder()

test('classes and files are sorted by their bytes', async () => {
  const dataset = await ImageFolderDataset.open(fixture('photos'))
  expect(dataset.classes).toEqual(['daisy', 'roses', 'tulips'])
  expect(dataset.length).toBe(18)
  expect(dataset.files.slice(0, 3)).toEqual([
    'daisy/10172379554_b296050f82_n.jpg',
    'daisy/10437929963_bc13eebe0c.jpg',
    'daisy/10994032453_ac7f8d9e2e.jpg',
  ])
  expect(Array.from(dataset.labels!)).toEqual([
    ...Array<number>(6).fill(0),
    ...Array<number>(6).fill(1),
    ...Array<number>(6).fill(2),
  ])
  const sample = await dataset.get(7)
  const { encoded, path } = sample.image as EncodedImage
  expect(sample).toMatchObject({ label: 1, index: 7 })
  expect(path).toBe(join(fixture('photos'), dataset.files[7] as string))
  expect([...encoded.subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff])
})

test('names decide, in any case and at any depth; hidden and other files are left out', async () => {
  const root = join(folder, 'mixed')
  const photo = fixture('photos', 'daisy', '10172379554_b296050f82_n.jpg')
  for (const name of ['b/upper.JPG', 'b/deep/er/x.jpeg', 'a/y.jpg', 'a/.hidden.jpg', 'a/notes.txt', '.git/z.jpg']) {
    await mkdir(join(root, name, '..'), { recursive: true })
    await cp(photo, join(root, name))
  }
  await written(root, 'README.md', new Uint8Array(1))
  const dataset = await ImageFolderDataset.open(root)
  expect(dataset.classes).toEqual(['a', 'b'])
  expect(dataset.files).toEqual(['a/y.jpg', 'b/deep/er/x.jpeg', 'b/upper.JPG'])
})

test('a folder without classes: its images have no labels, in batches neither', async () => {
  const root = join(folder, 'flat')
  const photo = fixture('photos', 'daisy', '10172379554_b296050f82_n.jpg')
  await mkdir(root)
  for (const name of ['b.jpg', 'a.jpg', '.c.jpg']) await cp(photo, join(root, name))
  const flat = await ImageFolderDataset.open(root)
  expect([flat.files, flat.classes, flat.labels]).toEqual([['a.jpg', 'b.jpg'], undefined, undefined])
  expect(await flat.get(1)).toEqual({ image: { encoded: expect.any(Uint8Array), path: join(root, 'b.jpg') }, index: 1 })
  const transform: Transform = { steps: [{ type: 'center-crop', size: [8, 8] }] }
  for await (const batch of new DataLoader({ dataset: flat, batchSize: 2, transform }))
    expect(Object.keys(batch).toSorted()).toEqual(['image', 'index'])
  await expect(ImageFolderDataset.open(root, { labels: true })).rejects.toThrow('expected one sub-folder a class')
  const deep = await ImageFolderDataset.open(join(folder, 'mixed'), { labels: false })
  expect(deep.files).toEqual(['a/y.jpg', 'b/deep/er/x.jpeg', 'b/upper.JPG'])
  expect(deep.classes).toBeUndefined()
})

test('a layout that is no image folder is refused', async () => {
  await expect(ImageFolderDataset.open(join(folder, 'absent'))).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: `${join(folder, 'absent')}: no such folder of images`,
  })
  const root = join(folder, 'empty')
  await mkdir(root)
  await expect(ImageFolderDataset.open(root)).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: `${root}: expected images, or one sub-folder a class, found none`,
  })
  await mkdir(join(root, 'cats'))
  await expect(ImageFolderDataset.open(root)).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining('found none in cats'),
  })
})

test('an index outside and a file that went away are errors with the place', async () => {
  const dataset = await ImageFolderDataset.open(fixture('photos'))
  await expect(dataset.get(18)).rejects.toMatchObject({
    code: 'ERR_ARGUMENT',
    message: expect.stringContaining('0..17, got 18'),
  })
})
