/** Which files folders, braces and stars mean. */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { filesOf } from '../../src/data/file-patterns.js'
import { ParquetDataset } from '../../src/data/parquet.js'
import { fixture, temporaryFolder, written } from './fixtures.js'

const folder = await temporaryFolder()
for (const name of ['b-1.tar', 'b-0.tar', 'a.tgz', '.c.tar', 'notes.txt', 'x+y.tar', 'xxy.tar'])
  await written(folder, name, new Uint8Array(1))

const found = async (pattern: string) =>
  (await filesOf(join(folder, pattern), ['.tar', '.tgz'])).map((path) => path.slice(folder.length + 1))

test('a path, a folder, numbers in braces, anything for a star', async () => {
  expect(await found('b-1.tar')).toEqual(['b-1.tar'])
  expect(await found('.')).toEqual(['a.tgz', 'b-0.tar', 'b-1.tar', 'x+y.tar', 'xxy.tar'])
  expect(await found('b-{0..1}.tar')).toEqual(['b-0.tar', 'b-1.tar'])
  expect(await found('b-*.tar')).toEqual(['b-0.tar', 'b-1.tar'])
  expect(await found('x+*')).toEqual(['x+y.tar'])
  await mkdir(join(folder, 'parts-7'))
  await written(join(folder, 'parts-7'), 'x.tar', new Uint8Array(1))
  expect(await found('parts-{7..7}/*')).toEqual(['parts-7/x.tar'])
})

test('what is not there, and what is somewhere else', async () => {
  await expect(found('b-{0..2}.tar')).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/b-2\.tar: no such file/),
  })
  await expect(found('z*.tar')).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/z\*\.tar: no such file/),
  })
  await expect(found('gone/*.tar')).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/gone: no such folder/),
  })
  await expect(found('b-{2..1}.tar')).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/range of files/),
  })
  // A plugin makes paths absolute first.
  for (const url of [
    'https://host/{0..3}.tar',
    resolve('/tmp', 'https://host/0.tar'),
    's3://bucket/0.tar',
    'pipe:curl x',
  ])
    await expect(filesOf(url, ['.tar'])).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      hint: expect.stringMatching(/Fetch/),
    })
})

test('Parquet files by a star are one data set', async () => {
  const dataset = await ParquetDataset.open({ files: [fixture('containers', 'repository', 'data', '*.parquet')] })
  expect(dataset.length).toBe(4)
})
