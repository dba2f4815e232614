/**
 * The options that recipes of views share, each said once: `viewOptions` of this package. A recipe lays its own beside
 * them; this file holds none.
 */
import { z } from 'zod'

export const probability = (value: number) => z.number().min(0).max(1).default(value)

/** Range of the share of an image's area. */
export const areaShare = (range: readonly [number, number]) =>
  z.tuple([z.number().positive(), z.number().positive()]).default([...range])

/** How pixels become numbers, after everything else. `example`: a data set whose statistics are known by name. */
export const pixels = (example = 'CIFAR10') => ({
  rgb: z.boolean().default(false).describe('grey images get three channels; files are decoded so in any case'),
  mean: z.array(z.number()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
  std: z.array(z.number().positive()).min(1).optional().describe('a value a channel, of images scaled to [0, 1]'),
  statistics: z
    .string()
    .optional()
    .describe(`instead of mean and std: the name of a known data set, such as ${example}`),
})

export const flip = (value = 0.5) => probability(value).describe('probability of swapping left and right')

/** Sizes of a recipe with large and small crops. */
export const crops = (paper: {
  globalScale: readonly [number, number]
  localScale: readonly [number, number]
  localCrops: number
}) => ({
  size: z.int().min(1).describe('side of a large crop in pixels'),
  localSize: z.int().min(1).optional().describe('side of a small crop; by default 3/7 of size, a multiple of 16'),
  globalScale: areaShare(paper.globalScale).describe('part of the area a large crop shows'),
  localScale: areaShare(paper.localScale).describe('part of the area a small crop shows'),
  localCrops: z.int().min(0).default(paper.localCrops).describe('small crops of each image'),
})

/** What one view of crop and flip takes. */
export const cropAndFlip = (paper: { scale: readonly [number, number]; flip: number }) =>
  z.object({
    size: z.int().min(1).describe('side of the view in pixels'),
    scale: areaShare(paper.scale).describe('part of the area the view shows'),
    flip: flip(paper.flip),
    ...pixels(),
  })

/** Probability of taking the colour out. */
export const grayscale = (value = 0.2) => probability(value).describe('probability of taking the colour out')

/** A blur that small images are spared. */
export const blur = () =>
  z.number().min(0).max(1).optional().describe('probability of a blur; by default 0.5 from 64 pixels, none below')
