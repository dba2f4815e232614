/** What methods read out of a batch: views, crops, labels, and the messages when they are not there. */
import { describe, expect, test } from 'vitest'
import type { Batch } from '../../src/data/index.js'
import { nn, tensor, zeros } from '../../src/index.js'
import {
  cropsOf,
  embedViews,
  expectCrops,
  expectViews,
  forwardCrops,
  imagesOf,
  viewsOf,
} from '../../src/train/views.js'

const view = (side: number) => ({ image: zeros([2, 3, side, side]), label: tensor([0n, 1n]) })
const batch = (parts: object): Batch => ({ index: tensor([0n, 1n]), ...parts }) as Batch

describe('cropsOf', () => {
  test('goes by names', () => {
    const { globals, locals } = cropsOf(batch({ local_1: view(4), global_1: view(8), global_2: view(8), label: 1 }))
    expect([globals.length, locals.length]).toEqual([2, 1])
  })

  test('goes by size in a list; a single image is a global crop', () => {
    const { globals, locals } = cropsOf(batch({ views: [view(4), view(8), view(8), view(4)] }))
    expect([globals.length, locals.length]).toEqual([2, 2])
    expect(cropsOf(batch(view(4))).globals).toHaveLength(1)
  })
})

test('embedViews passes each view by itself, and puts embeddings and labels one after the other', () => {
  const seen: number[] = []
  const network = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten())
  network.registerForwardHook(([images]) => void seen.push((images as { shape: number[] }).shape[0]!))
  const { parts, outputs } = embedViews(network, viewsOf(batch({ views: [view(4), view(4)] })))
  expect(seen).toEqual([2, 2])
  expect(parts.map(({ shape }) => shape)).toEqual([[2, 3], [2, 3]]) // prettier-ignore
  expect([outputs.embedding.shape, outputs.label?.shape]).toEqual([[4, 3], [4]])
})

test('expectViews names the method and its recipe', () => {
  expect(() => expectViews('byol', [view(4)], 2)).toThrow(
    expect.objectContaining({
      code: 'ERR_DATA',
      message: 'byol needs 2 views of each image, got 1',
      hint: expect.stringContaining('{type: byol, size: …}') as string,
    }),
  )
})

test('forwardCrops passes neighbours of one size together, and gives the rows of each crop', async () => {
  const seen: number[][] = []
  const colours = [1, 2, 3, 4].map((value, i) => ({ image: zeros([2, 3, i < 2 ? 8 : 4, i < 2 ? 8 : 4]).add(value) }))
  const rows = forwardCrops(colours, (images) => {
    seen.push([...images.shape])
    return images.mean([1, 2, 3])
  })
  expect(seen).toEqual([[4, 3, 8, 8], [4, 3, 4, 4]]) // prettier-ignore
  expect(await Promise.all(rows.map(async (row) => Array.from(await row.data(), Number)))).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 4],
  ])
})

test('expectCrops wants two crops, a global one among them', () => {
  const crop = view(4)
  expectCrops('dino', { globals: [crop], locals: [crop] })
  for (const locals of [[], [crop, crop]]) {
    expect(() => expectCrops('dino', { globals: locals.length === 0 ? [crop] : [], locals })).toThrow(
      expect.objectContaining({ code: 'ERR_DATA', hint: expect.stringContaining('{type: dino, size: …}') as string }),
    )
  }
})

test('imagesOf puts all views into one tensor, with as many labels', () => {
  const { image, label } = imagesOf(batch({ views: [view(4), view(4), view(4)] }), 'mae')
  expect([image.shape, label?.shape]).toEqual([[6, 3, 4, 4], [6]])
  expect(() => imagesOf(batch({}), 'mae')).toThrow(/mae needs an image/)
})
