/** The views of a batch: which there are, their labels, their embeddings, and what to say when there are too few. */
import type { Batch, View } from '../data/index.js'
import { SptError } from '../errors.js'
import { cat, type Tensor } from '../tensor/index.js'

/** The views of a batch, also where it has only one, or has them by name. */
export function viewsOf(batch: Batch): readonly View[] {
  if (batch.views) return batch.views
  if (batch.image) return [{ image: batch.image, ...(batch.label && { label: batch.label }) }]
  return Object.values(batch).filter(
    (value): value is View => typeof value === 'object' && value !== null && 'image' in value,
  )
}

/** The labels of all views one after the other, [views * batch], as their embeddings lie; nothing where one has none. */
export function labelsOf(views: readonly View[]): { label?: Tensor } {
  const labels = views.flatMap(({ label }) => (label ? [label] : []))
  return labels.length > 0 && labels.length === views.length ? { label: cat(labels, 0) } : {}
}

/** What a batch of a method of so many views holds. @throws ERR_DATA naming the transform that makes them. */
export function expectViews(method: string, views: readonly View[], count: number, recipe = method): void {
  if (views.length === count) return
  throw new SptError('ERR_DATA', `${method} needs ${count} views of each image, got ${views.length}`, {
    hint: `Give the training data \`transform: {type: ${recipe}, size: …}\`, or one of your own of type multi-view.`,
  })
}

/** As `expectViews` for crops: one global crop at least, and two crops in all. */
export function expectCrops(method: string, { globals, locals }: Crops, recipe = method): void {
  if (globals.length > 0 && globals.length + locals.length > 1) return
  const found = `${globals.length} global and ${locals.length} local`
  throw new SptError(
    'ERR_DATA',
    `${method} needs 2 crops of each image or more, a global one among them, got ${found}`,
    {
      hint: `Give the training data \`transform: {type: ${recipe}, size: …}\`, or one of your own of type multi-view.`,
    },
  )
}

/** Views that show a large part of the image, and views that show a small part. */
export interface Crops {
  readonly globals: readonly View[]
  readonly locals: readonly View[]
}

/**
 * The crops of a batch: views named `global…` and `local…`; of a list the views with the most pixels are the global ones,
 * and smaller ones the local.
 */
export function cropsOf(batch: Batch): Crops {
  const named = (start: string): View[] =>
    Object.entries(batch).flatMap(([name, value]) =>
      name.startsWith(start) && typeof value === 'object' && value !== null && 'image' in value ? [value as View] : [],
    )
  const [globals, locals] = [named('global'), named('local')]
  if (globals.length + locals.length > 0) return { globals, locals }
  const views = viewsOf(batch)
  const pixels = ({ image }: View): number => (image.shape[2] ?? 0) * (image.shape[3] ?? 0)
  const most = Math.max(...views.map(pixels))
  return { globals: views.filter((view) => pixels(view) === most), locals: views.filter((view) => pixels(view) < most) }
}

/**
 * Each view through a network by itself, so that batch norm sees one view at a time, as in the PyTorch library: the
 * embeddings of each [batch, dim], and as a forward returns them, one after the other [views · batch, dim], with labels.
 */
export function embedViews(
  network: { forward(images: Tensor): Tensor },
  views: readonly View[],
): { parts: Tensor[]; outputs: { embedding: Tensor; label?: Tensor } } {
  const parts = views.map(({ image }) => network.forward(image))
  const embedding = parts.length === 1 ? (parts[0] as Tensor) : cat(parts, 0)
  return { parts, outputs: { embedding, ...labelsOf(views) } }
}

/**
 * Runs a network on crops [batch, channel, height, width] and returns its rows for each, in their order. Neighbours of one
 * size go through it together, so that batch norm sees them as one batch (Caron et al. 2021, arXiv:2104.14294).
 */
export function forwardCrops(crops: readonly View[], forward: (images: Tensor) => Tensor): Tensor[] {
  const groups: Tensor[][] = []
  for (const { image } of crops) {
    const last = groups.at(-1)
    if (last?.[0]?.shape.join() === image.shape.join()) last?.push(image)
    else groups.push([image])
  }
  return groups.flatMap((images) =>
    images.length === 1 ? [forward(images[0] as Tensor)] : forward(cat(images)).chunk(images.length),
  )
}

/** All views of a batch as one tensor [views · batch, channel, height, width], for methods that look at single images. */
export function imagesOf(batch: Batch, method: string): { image: Tensor; label?: Tensor } {
  const views = viewsOf(batch)
  const [first, ...others] = views
  if (!first) throw new SptError('ERR_DATA', `${method} needs an image in each batch`)
  const image = others.length === 0 ? first.image : cat(views.map((view) => view.image))
  return { image, ...labelsOf(views) }
}
