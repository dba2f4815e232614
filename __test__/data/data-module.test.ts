/** The parts of a run's data: made from options or taken as they are, with one seed for those that have none. */
import { expect, test } from 'vitest'
import { DataLoader } from '../../src/data/data-loader.js'
import { DataModule } from '../../src/data/data-module.js'
import { ImageFolderDataset } from '../../src/data/image-folder.js'
import { fixture } from './fixtures.js'

const dataset = await ImageFolderDataset.open(fixture('photos'))

test('options become loaders, loaders stay', () => {
  const val = new DataLoader({ dataset, batchSize: 9, seed: 4 })
  const data = new DataModule({ train: { dataset, batchSize: 6, shuffle: true }, val })
  expect(data.val).toBe(val)
  expect(data.train?.length).toBe(3)
  expect(data.test).toBeUndefined()
  expect(data.classes).toEqual(['daisy', 'roses', 'tulips'])
  data.setSeed(7)
  expect([(data.train as DataLoader).seed, val.seed]).toEqual([7, 4])
})

test.each([
  ['nothing', {}, 'at least one of train, val, test, predict'],
  ['an unknown part', { trian: { dataset } }, 'trian'],
  ['an unknown option', { train: { dataset, batchsize: 3 } }, 'batchsize'],
  ['no data set', { train: { batchSize: 3 } }, 'a dataset'],
])('%s is refused', (_, options, message) => {
  expect(() => new DataModule(options as never)).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(message) }),
  )
})
