/** What can be made of a batch once it is there: views of one image in a row, the relation between samples, folding back. */
import { SptError, argumentInvalid } from '../errors.js'
import { Tensor, cat, scope, stack, tensor } from '../tensor/index.js'
import { disposeBatch } from './collate.js'
import type { Batch, View } from './data-loader.js'

/** Changes a batch on its way out of a loader; tensors that it does not hand on are its own to free. */
export type BatchChange = (batch: Batch) => Batch

export interface CollatorOptions {
  /** Adds `G` [batch, batch]: where integers [batch] are equal, else the Gram matrix t·tᵀ of vectors [batch, dim]. */
  readonly gFrom?: string
}

/**
 * stable-pretraining's Collator: several views become one tensor [batch · views, …] in which the views of an image stand
 * together, and what a sample says is repeated for each of them. Give `new Collator(…).collate` to a loader as `collate`.
 */
export class Collator {
  readonly gFrom: string | undefined

  constructor({ gFrom }: CollatorOptions = {}) {
    this.gFrom = gFrom
  }

  readonly collate: BatchChange = (batch) => {
    const flat = batch.views === undefined ? batch : flattened(batch, batch.views)
    if (this.gFrom === undefined) return flat
    const from = flat[this.gFrom]
    const integers = from instanceof Tensor && from.dtype === 'int64' && from.ndim === 1
    if (!(from instanceof Tensor) || (!integers && from.ndim !== 2)) {
      disposeBatch(flat)
      const what = from instanceof Tensor ? `${from.dtype} [${from.shape.join(', ')}]` : 'none'
      throw new SptError(
        'ERR_DATA',
        `Collator: G needs integers [batch] or vectors [batch, dim] in "${this.gFrom}", got ${what}`,
        {
          hint: `The batch has ${Object.keys(flat).join(', ')}.`,
        },
      )
    }
    const g = scope(() => (integers ? from.unsqueeze(1).eq(from.unsqueeze(0)) : from.matmul(from.transpose(0, 1))))
    return { ...flat, G: g.keep() }
  }
}

function flattened(batch: Batch, views: readonly View[]): Batch {
  const { views: _, ...rest } = batch
  const count = views.length
  const image = scope(() => {
    const stacked = stack(
      views.map((view) => view.image),
      1,
    ) // [batch, views, channel, height, width]
    const [size = 0, , ...shape] = stacked.shape
    return stacked.reshape([size * count, ...shape])
  }).keep()
  const repeated = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => {
      if (value instanceof Tensor) return [key, scope(() => value.repeatInterleave(count, 0)).keep()]
      return [key, Array.isArray(value) ? value.flatMap((item: unknown) => Array<unknown>(count).fill(item)) : value]
    }),
  )
  disposeBatch(batch)
  return { ...repeated, image } as unknown as Batch
}

/**
 * The opposite: rows of `values` [batch · views, …] apart by view, each [batch, …] in ascending order of `index`, which says
 * for each row which image it is of. ERR_DATA unless every image has equally many.
 */
export async function foldViews(values: Tensor, index: Tensor | ArrayLike<number | bigint>): Promise<Tensor[]> {
  const numbers = Array.from(
    (index instanceof Tensor ? await index.data() : index) as ArrayLike<number | bigint>,
    Number,
  )
  const rows = values.shape[0] ?? 0
  if (numbers.length !== rows) throw argumentInvalid('foldViews index', `${rows} numbers, one a row`, numbers.length)
  const byImage = new Map<number, number[]>()
  numbers.forEach((number, row) => byImage.set(number, [...(byImage.get(number) ?? []), row]))
  const images = [...byImage].sort(([a], [b]) => a - b)
  const views = images[0]?.[1].length ?? 0
  const odd = images.find(([, found]) => found.length !== views)
  if (odd !== undefined) {
    const message = `foldViews: image ${images[0]?.[0]} has ${views} views, image ${odd[0]} has ${odd[1].length}`
    throw new SptError('ERR_DATA', message)
  }
  return Array.from({ length: views }, (_, view) => {
    const places = BigInt64Array.from(images, ([, found]) => BigInt(found[view] as number))
    return values.indexSelect(0, tensor(places))
  })
}

/**
 * The tokens that each mask names: x [batch, tokens, dim] and masks int64 [batch, kept] give [masks · batch, kept, dim], the
 * batch of the first mask first (I-JEPA, Assran et al. 2023). All masks keep equally many.
 */
export function applyMasks(x: Tensor, ...masks: readonly Tensor[]): Tensor {
  const [batch = 0, , dim = 0] = x.shape
  const kept = masks[0]?.shape[1] ?? 0
  if (x.ndim !== 3 || masks.length === 0 || masks.some(({ shape }) => shape[0] !== batch || shape[1] !== kept)) {
    const shapes = masks.map(({ shape }) => `[${shape.join(', ')}]`).join(', ')
    throw new SptError('ERR_SHAPE', `applyMasks: x is [${x.shape.join(', ')}], the masks are ${shapes || 'none'}`, {
      hint: 'Expected x [batch, tokens, dim] and masks [batch, kept], equally many kept in each.',
    })
  }
  return cat(
    masks.map((mask) => x.gather(1, mask.unsqueeze(2).expand([batch, kept, dim]))),
    0,
  )
}
