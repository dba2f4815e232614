/** The names of the cases, the groups they come in, and what a name says. Who runs a case is in `contenders`. */
import { suggest } from '../../src/config/suggest.js'

/** One piece of work, as its name says it. */
export type Case =
  | { readonly kind: 'gemm'; readonly name: string; readonly sizes: readonly [m: number, k: number, n: number] }
  | {
      readonly kind: 'conv'
      readonly name: string
      readonly images: number
      readonly channels: number
      readonly side: number
      readonly backward: boolean
    }
  | { readonly kind: 'step'; readonly name: string; readonly network: Network; readonly images: number }
  | { readonly kind: 'augment'; readonly name: string; readonly pictures: Pictures }
  | { readonly kind: 'decode' | 'parquet'; readonly name: string }
  | {
      readonly kind: 'knn'
      readonly name: string
      readonly rows: number
      readonly dim: number
      readonly queries: number
    }
  | { readonly kind: 'run'; readonly name: string; readonly what: 'overhead' | 'start'; readonly images: number }

export type Network = 'simclr-r18' | 'vit-tiny'
export type Pictures = 'cifar' | 'photo'

/** Rows of the products in ViT-Tiny: 128 images of 64 patches and a class token. */
const tokens = 128 * 65

/** Short names for several cases. `all` is what `benchmarks/RESULTS.md` shows. */
export const groups: Readonly<Record<string, readonly string[]>> = {
  gemm: [
    'gemm-1024',
    'gemm-2048',
    `gemm-${tokens}x192x576`,
    `gemm-${tokens}x192x192`,
    `gemm-${tokens}x192x768`,
    `gemm-${tokens}x768x192`,
    `gemm-768x${tokens}x192`,
  ],
  conv: ['conv-64x64x32-fwd', 'conv-64x64x32-fwdbwd', 'conv-64x256x8-fwd', 'conv-64x256x8-fwdbwd'],
  'simclr-r18': ['simclr-r18-128', 'simclr-r18-256'],
  'vit-tiny': ['vit-tiny-128'],
  augment: ['augment-cifar', 'augment-photo'],
  reading: ['decode', 'parquet'],
  knn: ['knn-20000x512'],
  run: ['run-start', 'run-overhead'],
  scaling: [32, 64, 128, 256, 512].map((images) => `simclr-r18-${images}`),
  all: ['gemm', 'conv', 'simclr-r18', 'vit-tiny', 'augment', 'reading', 'knn', 'run'],
}

/**
 * The cases that names and names of groups stand for, each once. `batch` is the number of images a view: convolutions
 * and training steps of that size instead, and as many queries as that for `knn`.
 *
 * @throws an Error that names what is known.
 */
export function casesOf(names: readonly string[], batch?: number): Case[] {
  const plain = names.flatMap((name) => expand(name, batch))
  const found = plain.map((name) => parse(name, batch))
  return found.filter(({ name }, place) => found.findIndex((other) => other.name === name) === place)
}

function expand(name: string, batch: number | undefined): string[] {
  // With a batch of its own a group of sizes is one case: the steps are named by their images, two views of each.
  if (batch !== undefined && (name === 'simclr-r18' || name === 'vit-tiny')) return [`${name}-${2 * batch}`]
  return groups[name]?.flatMap((inner) => expand(inner, batch)) ?? [name]
}

function parse(name: string, batch: number | undefined): Case {
  const numbers = (pattern: RegExp) => pattern.exec(name)?.slice(1)
  let found = numbers(/^gemm-(\d+)$/) ?? numbers(/^gemm-(\d+)x(\d+)x(\d+)$/)
  if (found !== undefined) {
    const [m = 0, k = m, n = m] = found.map(Number)
    return { kind: 'gemm', name, sizes: [m, k, n] }
  }
  found = numbers(/^conv-(\d+)x(\d+)x(\d+)-(fwd|fwdbwd)$/)
  if (found !== undefined) {
    const [images = 0, channels = 0, side = 0] = [batch ?? found[0], found[1], found[2]].map(Number)
    const shape = `${images}x${channels}x${side}`
    return { kind: 'conv', name: `conv-${shape}-${found[3]}`, images, channels, side, backward: found[3] === 'fwdbwd' }
  }
  found = numbers(/^(simclr-r18|vit-tiny)-(\d+)$/)
  if (found !== undefined) {
    const images = batch === undefined ? Number(found[1]) : 2 * batch
    if (images % 2 === 0 && images >= 4)
      return { kind: 'step', name: `${found[0]}-${images}`, network: found[0] as Network, images }
    throw new Error(`case "${name}": two views of each image make an even number of images, at least 4`)
  }
  found = numbers(/^augment-(cifar|photo)$/)
  if (found !== undefined) return { kind: 'augment', name, pictures: found[0] as Pictures }
  if (name === 'decode' || name === 'parquet') return { kind: name, name }
  found = numbers(/^knn-(\d+)x(\d+)$/)
  if (found !== undefined)
    return { kind: 'knn', name, rows: Number(found[0]), dim: Number(found[1]), queries: batch ?? 256 }
  found = numbers(/^run-(start|overhead)$/)
  if (found !== undefined) return { kind: 'run', name, what: found[0] as 'start' | 'overhead', images: batch ?? 64 }
  const known = [...Object.keys(groups), ...new Set(Object.keys(groups).flatMap((group) => expand(group, undefined)))]
  const near = suggest(name, known)
  throw new Error(
    `there is no case "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}\n` +
      `groups: ${Object.keys(groups).join(', ')}\ncases: ${known.slice(Object.keys(groups).length).join(', ')}\n` +
      'sizes may be others: gemm-<m>x<k>x<n>, conv-<images>x<channels>x<side>-fwd|fwdbwd, simclr-r18-<images>, ' +
      'vit-tiny-<images>, knn-<rows>x<dim>',
  )
}

/** Multiplications and additions of one run, where they are plain; a convolution's are those of the direct way. */
export function operationsOf(work: Case): number | undefined {
  if (work.kind === 'gemm') return 2 * work.sizes[0] * work.sizes[1] * work.sizes[2]
  if (work.kind === 'knn') return 2 * work.rows * work.dim * work.queries
  if (work.kind !== 'conv') return undefined
  return (work.backward ? 3 : 1) * 2 * work.images * work.channels ** 2 * 9 * work.side ** 2
}

/** Images that one run takes through. */
export function imagesOf(work: Case): number | undefined {
  switch (work.kind) {
    case 'conv':
    case 'step':
      return work.images
    case 'augment':
      return work.pictures === 'cifar' ? 4096 : 1024
    case 'decode':
      return 1024
    case 'parquet':
      return 1200
    case 'run':
      return 2 * work.images
    default:
      return undefined
  }
}
