/** What data sets and transforms have to keep: samples in every place, the same pixels for the same seed. */
import {
  DataLoader,
  InMemoryDataset,
  applyBatchTransforms,
  compose,
  disposeBatch,
  isBatchTransform,
  pictureOf,
  type BatchTransform,
  type Dataset,
  type ImageSource,
  type MultiView,
  type Transform,
} from '../data/index.js'
import { Tensor } from '../tensor/index.js'
import type { Builder, ConformanceOptions } from './index.js'
import { require, requireEqual, rule, type Rule } from './rule.js'
import { numbers } from './synthetic.js'

export function datasetRules(build: Builder, { root = process.cwd() }: ConformanceOptions): Rule[] {
  const make = async (): Promise<Dataset> => (await build({ root })) as Dataset
  return [
    rule('it has a name and at least one sample', async () => {
      const { name, length } = await make()
      require(name !== '', () => 'its name is empty')
      require(Number.isInteger(length) && length > 0, () => `its length is ${length}`)
    }),
    rule('the first and the last sample hold an image, their place, and a label in range', async () => {
      const dataset = await make()
      for (const place of [0, dataset.length - 1]) {
        const { image, index, label } = await dataset.get(place)
        require('encoded' in image || 'pixels' in image, () => `sample ${place} has neither encoded bytes nor pixels`)
        require(index === place, () => `sample ${place} says its index is ${index}`)
        const classes = dataset.classes?.length ?? Infinity
        require(label === undefined || (label >= 0 && label < classes), () => `sample ${place} has the label ${label}`)
      }
    }),
    rule('a place outside is refused', async () => {
      const dataset = await make()
      const got = await (async () => dataset.get(dataset.length))().then(
        () => 'a sample',
        () => undefined,
      )
      require(got === undefined, () => `get(${dataset.length}) gave ${got}`)
    }),
  ]
}

export function transformRules(build: Builder, { side = 32, frames }: ConformanceOptions): Rule[] {
  const batch = async (seed: number): Promise<number[][]> => {
    const built = (await build({})) as Transform | MultiView | BatchTransform
    const how = isBatchTransform(built) ? { batchTransform: [built] } : { transform: compose([built]) }
    const loader = new DataLoader({
      dataset: frames === undefined ? colours(8, side) : filmed(colours(8, side), frames),
      batchSize: 8,
      seed,
      ...how,
    })
    for await (const made of loader) {
      const loaded = await applyBatchTransforms(loader, made, { epoch: 0, batch: 0 })
      const images = imagesIn(loaded)
      require(images.length > 0, () => 'the batch holds no image')
      const axes = frames === undefined ? 4 : 5
      const shapes = images.filter(({ ndim, dtype }) => ndim !== axes || dtype !== 'float32')
      require(shapes.length === 0, () => `an image is ${shapes[0]?.dtype} [${shapes[0]?.shape.join(', ')}]`)
      const found = await Promise.all(images.map(numbers))
      disposeBatch([loaded, made])
      return found
    }
    return []
  }
  return [
    rule('images become float32 [batch, channel, height, width] with finite values', async () => {
      const found = await batch(0)
      require(found.flat().every(Number.isFinite), () => 'it made values that are not finite')
    }),
    rule('the same seed gives the same pixels', async () => {
      const [first, second] = [await batch(3), await batch(3)]
      requireEqual('a pixel', second.flat(), first.flat())
    }),
  ]
}

/** Images of one colour each with a brighter corner. */
function colours(count: number, side: number): Dataset {
  const pixels = new Uint8Array(count * side * side * 3)
  for (let i = 0; i < pixels.length; i++) pixels[i] = (i * 37 + ((i >> 7) % 5) * 50) % 256
  return new InMemoryDataset({
    name: 'colours',
    pixels,
    count,
    width: side,
    height: side,
    channels: 3,
    labels: new Uint8Array(count),
  } as never)
}

/** Clips that show each image for a while. */
function filmed(dataset: Dataset, frames: number): Dataset {
  return {
    name: 'filmed',
    length: dataset.length,
    get: async (index) => {
      const sample = await dataset.get(index)
      return { ...sample, image: Array<ImageSource>(frames).fill(pictureOf(sample.image)) }
    },
  }
}

function imagesIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return []
  if (typeof value !== 'object' || value === null) return []
  const { image } = value as { image?: unknown }
  return [...(image instanceof Tensor ? [image] : []), ...Object.values(value).flatMap(imagesIn)]
}
