/** Columns renamed and removed, tuples named, data sets of one's own. */
import { expect, test } from 'vitest'
import { DictFormat, withColumns } from '../../src/data/columns.js'
import { disposeBatch } from '../../src/data/collate.js'
import { DataLoader } from '../../src/data/data-loader.js'
import type { Dataset } from '../../src/data/sample.js'

const image = { pixels: Uint8Array.of(1, 2, 3, 4), offset: 0, width: 2, height: 2, channels: 1 as const }
const dataset: Dataset = {
  name: 'mine',
  length: 3,
  classes: ['a', 'b', 'c'],
  get: (index) => ({ image, index, fine: index, coarse: 0, note: `n${index}` }),
}

test('renamed, then removed', async () => {
  const changed = withColumns(dataset, { rename: { fine: 'label', note: 'text' }, remove: ['coarse', 'text'] })
  expect(await changed.get(2)).toEqual({ image, index: 2, label: 2 })
  expect(changed).toMatchObject({ name: 'mine', length: 3, classes: ['a', 'b', 'c'] })
})

test('a column that is not there is named', async () => {
  const hint = 'They have image, index, fine, coarse, note.'
  await expect(withColumns(dataset, { rename: { gone: 'label' } }).get(0)).rejects.toMatchObject({
    code: 'ERR_DATA',
    hint,
  })
  await expect(withColumns(dataset, { remove: ['gone'] }).get(0)).rejects.toMatchObject({ code: 'ERR_DATA', hint })
})

test('tuples get names and an index', async () => {
  const tuples = new DictFormat({ length: 2, get: (index: number) => [image, index] }, ['image', 'label'])
  expect(await tuples.get(1)).toEqual({ image, label: 1, index: 1 })
  const wrong = new DictFormat({ length: 1, get: () => [image] }, ['image', 'label'])
  await expect(wrong.get(0)).rejects.toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining('1 values') })
  await expect(tuples.get(2)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('a loader takes any object with length and get', async () => {
  const mine = { length: 2, get: (index: number) => ({ image, index }) } as unknown as Dataset
  for await (const batch of new DataLoader({ dataset: mine, batchSize: 2 })) {
    expect(batch.image?.shape).toEqual([2, 1, 2, 2])
    disposeBatch(batch)
  }
  for (const wrong of [{ length: 2 }, { get: () => undefined }, { length: -1, get: () => undefined }])
    expect(() => new DataLoader({ dataset: wrong as never })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
