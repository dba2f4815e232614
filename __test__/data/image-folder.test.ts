/** Image folders: classes and files in a fixed order, and clear words where the layout is another. */
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import type { EncodedImage } from '../../src/data/sample.js'
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
  expect(Array.from(dataset.labels)).toEqual([
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

test('a layout that is no image folder is refused', async () => {
  await expect(ImageFolderDataset.open(join(folder, 'absent'))).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: `${join(folder, 'absent')}: no such folder of images`,
  })
  const root = join(folder, 'empty')
  await mkdir(root)
  await expect(ImageFolderDataset.open(root)).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: `${root}: expected one sub-folder a class, found none`,
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
