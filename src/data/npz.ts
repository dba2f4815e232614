/** Images and labels out of NumPy's .npz files, into memory. How such files are built is in `interchange`. */
import { basename } from 'node:path'
import { dataCorrupt } from '../errors.js'
import { readNpz } from '../interchange/index.js'
import type { Tensor } from '../tensor/index.js'
import { InMemoryDataset } from './in-memory.js'
import { labelsOf } from './labels.js'

export interface NpzOptions {
  readonly path: string
  /** The array of images, uint8 [count, height, width] or [count, height, width, 1 or 3]. */
  readonly images?: string
  /** The array of class numbers, [count] or [count, 1], any integer type; null: none. */
  readonly labels?: string | null
  readonly classes?: readonly string[] | undefined
  readonly name?: string
}

/** ERR_DATA where an array is missing, of another type or shape, or damaged. */
export async function readNpzDataset(options: NpzOptions): Promise<InMemoryDataset> {
  const { path, images = 'images', labels = 'labels', classes, name = basename(path) } = options
  const arrays = await readNpz(path, { names: labels === null ? [images] : [images, labels] })
  try {
    const pixels = arrays.get(images) as Tensor
    const [count, height, width, channels = 1] = pixels.shape
    const fits = pixels.dtype === 'uint8' && (pixels.ndim === 3 || pixels.ndim === 4)
    if (!fits || count === undefined || height === undefined || width === undefined) {
      const hint = pixels.dtype === 'uint8' ? undefined : 'Save pixels of 0..255 as uint8: images.astype(numpy.uint8).'
      throw dataCorrupt(
        path,
        `expected "${images}" as uint8 [count, height, width(, channels)], ${found(pixels)}`,
        hint,
      )
    }
    if (channels !== 1 && channels !== 3) {
      const hint = 'Channels come last: numpy.transpose(images, (0, 2, 3, 1)).'
      throw dataCorrupt(path, `expected 1 or 3 channels in "${images}", ${found(pixels)}`, hint)
    }
    const data = (await pixels.data()) as Uint8Array
    const size = { width, height, channels, name } as const
    if (labels === null)
      return new InMemoryDataset({ pixels: data, ...size, ...(classes !== undefined && { classes }) })
    const numbers = arrays.get(labels) as Tensor
    const flat = numbers.shape.slice(1).every((side) => side === 1)
    if (!flat || numbers.shape[0] !== count || !['int64', 'uint8'].includes(numbers.dtype))
      throw dataCorrupt(path, `expected "${labels}" as ${count} integers, ${found(numbers)}`)
    const values = Array.from((await numbers.data()) as BigInt64Array | Uint8Array, Number)
    const named = labelsOf(values, classes, (row) => `${path}, image ${row}`)
    return new InMemoryDataset({ pixels: data, ...size, ...named })
  } finally {
    for (const tensor of arrays.values()) tensor.dispose()
  }
}

const found = ({ dtype, shape }: Tensor) => `found ${dtype} [${shape.join(', ')}]`
