/** What samplers and collators have to keep: places that exist, an order that follows from seed and epoch, whole batches. */
import {
  DataLoader,
  InMemoryDataset,
  disposeBatch,
  isBatchSampler,
  type BatchChange,
  type BatchSampler,
  type Dataset,
  type Sampler,
} from '../data/index.js'
import { Tensor } from '../tensor/index.js'
import type { Builder } from './index.js'
import { require, requireEqual, rule, type Rule } from './rule.js'

const count = 24

/** Small images of four classes in turns. */
function labelled(): Dataset {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 4)
  return new InMemoryDataset({
    name: 'labelled',
    pixels: new Uint8Array(count * 4),
    width: 2,
    height: 2,
    channels: 1,
    labels,
  })
}

export function samplerRules(build: Builder): Rule[] {
  const make = async (seed = 0): Promise<Sampler | BatchSampler> =>
    (await build({ dataset: labelled(), seed })) as Sampler | BatchSampler
  const placesOf = (sampler: Sampler | BatchSampler, epoch: number): number[] =>
    isBatchSampler(sampler)
      ? sampler.batches(epoch).flatMap((batch) => Array.from(batch))
      : Array.from(sampler.indices(epoch))
  return [
    rule('it gives as many places, or batches, as it says', async () => {
      const sampler = await make()
      const given = isBatchSampler(sampler) ? sampler.batches(0).length : sampler.indices(0).length
      require(given === sampler.length, () => `its length is ${sampler.length}, it gives ${given}`)
      require(given > 0, () => 'it gives none')
    }),
    rule('each place is one of the data set', async () => {
      const wrong = placesOf(await make(), 0).find((place) => !(Number.isInteger(place) && place >= 0 && place < count))
      require(wrong === undefined, () => `it gives the place ${wrong} of ${count}`)
    }),
    rule('the same seed and epoch give the same order, whenever they are asked for', async () => {
      const [first, second] = [await make(5), await make(5)]
      placesOf(second, 2)
      requireEqual('a place', placesOf(second, 1), placesOf(first, 1))
    }),
  ]
}

export function collatorRules(build: Builder): Rule[] {
  const batch = async () => {
    const collate = (await build({})) as BatchChange
    const transform = { views: [{ steps: [] }, { steps: [] }] }
    const loader = new DataLoader({ dataset: labelled(), batchSize: 6, transform, collate })
    for await (const made of loader) return made
    throw new Error('no batch')
  }
  return [
    rule('a batch of two views stays a batch: images with a label for each', async () => {
      const made = await batch()
      const { image, label } = made
      require(image instanceof Tensor || made.views !== undefined, () => 'it has neither image nor views')
      const rows = (image ?? made.views?.[0]?.image)?.shape[0]
      require(label?.shape[0] === rows, () => `${rows} images and ${label?.shape[0]} labels`)
      disposeBatch(made)
    }),
  ]
}
