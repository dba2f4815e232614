/** Masks over a grid of patches: exact counts, shapes of what is hidden, independence of samples, ranges that are refused. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { Generator, type Tensor } from '../../src/tensor/index.js'
import { numbers } from './close.js'

async function rows(index: Tensor): Promise<number[][]> {
  const [count = 0, width = 0] = index.shape
  const values = await numbers(index)
  return Array.from({ length: count }, (_, row) => values.slice(row * width, (row + 1) * width))
}

const distinct = (places: number[]) => new Set(places).size === places.length

/** Patches that can be reached from the first one through neighbours. */
function reached(places: number[], columns: number): number {
  const [open, seen] = [[places[0] ?? 0], new Set([places[0]])]
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    for (const step of [-columns, columns, -1, 1]) {
      const next = place + step
      if (Math.abs(step) === 1 && Math.floor(next / columns) !== Math.floor(place / columns)) continue
      if (!places.includes(next) || seen.has(next)) continue
      seen.add(next)
      open.push(next)
    }
  }
  return seen.size
}

describe('patchMasking', () => {
  test.each([
    ['patches', {}],
    ['squares', { blockSize: 3 }],
    ['a region', { cropRatio: 1 }],
    ['a long region', { cropRatio: 1, cropAspectRatio: [3, 4] as [number, number] }],
  ])('%s: the stated number of patches, none twice, samples of their own, any grid', async (_, options) => {
    for (const grid of [
      [14, 14],
      [3, 9],
      [1, 5],
      [2, 1],
    ] as Array<[number, number]>) {
      const patches = grid[0] * grid[1]
      for (const maskRatio of [0, 0.3, 0.75, 0.9]) {
        const kept = nn.patchMasking({ ...options, maskRatio, generator: new Generator(1) })(3, grid)
        expect(kept.shape).toEqual([3, patches - Math.floor(patches * maskRatio)])
        for (const row of await rows(kept)) {
          expect(distinct(row) && row.every((place) => place >= 0 && place < patches)).toBe(true)
        }
      }
    }
    const [first, second] = await rows(nn.patchMasking({ ...options, generator: new Generator(2) })(2, [14, 14]))
    expect(first).not.toEqual(second)
  })

  test('a region is connected; every patch is equally likely to be seen otherwise', async () => {
    const generator = new Generator(6)
    const region = nn.patchMasking({ cropRatio: 1, generator })
    for (const row of await rows(region(20, [8, 8]))) expect(reached(row, 8)).toBe(16)
    const counts = new Float64Array(16)
    for (const row of await rows(nn.patchMasking({ maskRatio: 0.5, generator })(4000, [4, 4])))
      for (const place of row) counts[place]! += 1
    for (const count of counts) expect(count / 4000).toBeCloseTo(0.5, 1)
  })

  test('the same generator gives the same patches', async () => {
    const draw = async () => rows(nn.patchMasking({ blockSize: 2, generator: new Generator(9) })(2, [6, 6]))
    expect(await draw()).toEqual(await draw())
  })

  test('ranges that make no sense are refused', () => {
    expect(() => nn.patchMasking({ maskRatio: 1 })).toThrow(/maskRatio.*1/)
    expect(() => nn.patchMasking({ blockSize: 0 })).toThrow(/blockSize.*0/)
    expect(() => nn.patchMasking({ cropRatio: 2 })).toThrow(/cropRatio.*2/)
    expect(() => nn.patchMasking({ cropAspectRatio: [2, 1] })).toThrow(/cropAspectRatio/)
    expect(() => nn.ijepaMasking({ targetScale: [0.5, 1.5] })).toThrow(/targetScale.*1/)
    expect(() => nn.multiBlockMasking({ numTargets: 0 })).toThrow(/numTargets.*0/)
  })
})

describe('block masks', () => {
  test('I-JEPA: rectangles that do not overlap, shared by the batch; contexts outside of them, a sample each', async () => {
    const { contextIdx, targetIdx, targetBlockMasks, mask } = nn.ijepaMasking({ generator: new Generator(3) })(
      4,
      [14, 14],
    )
    const blocks = await rows(targetBlockMasks.to('int64'))
    const sizes = blocks.map((block) => block.reduce((sum, value) => sum + value, 0))
    // 0.15 to 0.2 of 196 patches, sides rounded.
    expect(sizes.every((size) => size === 0 || (size >= 24 && size <= 46))).toBe(true)
    const [targets = []] = await rows(targetIdx)
    expect(sizes.reduce((sum, size) => sum + size)).toBe(targets.length)
    const contexts = await rows(contextIdx)
    for (const context of contexts) {
      expect(context.some((place) => targets.includes(place))).toBe(false)
      expect(context).toEqual(context.toSorted((a, b) => a - b))
      expect(context.length / (196 - targets.length)).toBeGreaterThanOrEqual(0.84)
    }
    expect(contexts[0]).not.toEqual(contexts[1])
    expect((await rows(mask.to('int64'))).map((row) => row.filter((value) => value === 0).length)).toEqual(
      contexts.map((c) => c.length),
    )
  })

  test('a target without room is empty, and there are always as many', () => {
    const { targetBlockMasks } = nn.ijepaMasking({
      numTargets: 9,
      targetScale: [0.3, 0.3],
      generator: new Generator(1),
    })(1, [6, 6])
    expect(targetBlockMasks.shape).toEqual([9, 36])
  })

  test('multi-block: one context block without the targets, the same for all', async () => {
    const { contextIdx, targetIdx } = nn.multiBlockMasking({ generator: new Generator(5) })(3, [10, 10])
    const [contexts, targets] = [await rows(contextIdx), await rows(targetIdx)]
    expect(contexts[0]).toEqual(contexts[2])
    expect(contexts[0]?.some((place) => targets[0]?.includes(place))).toBe(false)
    expect((contexts[0]?.length ?? 0) > 10).toBe(true)
  })
})
