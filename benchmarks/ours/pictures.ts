/** The pictures that augmentation works on, in files that the peers read too. */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const photoFolder = join(root, 'benchmarks', 'photos')
/** What is made once and kept. */
export const cache = join(root, 'target', 'bench')

export const smallSide = 32
/** Different small pictures; a pass over more takes them again. */
export const smallCount = 512

/** JPEG files of 256×256, each as its bytes. */
export const photos = (): Uint8Array[] =>
  readdirSync(photoFolder)
    .filter((name) => name.endsWith('.jpg'))
    .toSorted()
    .map((name) => readFileSync(join(photoFolder, name)))

export const photosPlace = (): string => photoFolder

/** A file of `smallCount` pictures, 32×32×3 bytes each: soft colours with a little grain. */
export function smallPictures(): { file: string; pixels: Uint8Array } {
  const file = join(cache, 'pictures-32.bin')
  if (!existsSync(file)) {
    mkdirSync(cache, { recursive: true })
    const aside = `${file}.${process.pid}`
    writeFileSync(aside, draw(smallCount))
    renameSync(aside, file)
  }
  return { file, pixels: readFileSync(file) }
}

/** Two training files and a test file in CIFAR-10's binary layout, for `spt run`: a label, then three planes. */
export function cifarFolder(images = 5000): string {
  const folder = join(cache, 'cifar')
  const names = ['data_batch_1.bin', 'test_batch.bin']
  if (names.every((name) => existsSync(join(folder, name)))) return folder
  mkdirSync(folder, { recursive: true })
  const bytes = smallSide * smallSide * 3
  for (const [part, name] of names.entries()) {
    const pixels = draw(part === 0 ? images : images / 5, part + 1)
    const records = new Uint8Array((pixels.length / bytes) * (bytes + 1))
    for (let image = 0; image * bytes < pixels.length; image++) {
      records[image * (bytes + 1)] = image % 10
      for (let i = 0; i < bytes; i++) {
        const [pixel, channel] = [Math.floor(i / 3), i % 3]
        records[image * (bytes + 1) + 1 + channel * smallSide * smallSide + pixel] = pixels[image * bytes + i]!
      }
    }
    const aside = join(folder, `${name}.${process.pid}`)
    writeFileSync(aside, records)
    renameSync(aside, join(folder, name))
  }
  return folder
}

/** Corners of 8×8 random colours, blended between, plus grain; interleaved. */
function draw(count: number, seed = 0): Uint8Array {
  const random = numbers(seed)
  const [grid, cell] = [5, 8]
  const pixels = new Uint8Array(count * smallSide * smallSide * 3)
  let at = 0
  for (let image = 0; image < count; image++) {
    const corners = Float32Array.from({ length: grid * grid * 3 }, () => random() * 256)
    const corner = (y: number, x: number, channel: number) => corners[(y * grid + x) * 3 + channel]!
    for (let y = 0; y < smallSide; y++) {
      for (let x = 0; x < smallSide; x++) {
        const [top, left] = [Math.floor(y / cell), Math.floor(x / cell)]
        const [down, right] = [(y % cell) / cell, (x % cell) / cell]
        for (let channel = 0; channel < 3; channel++) {
          const above = corner(top, left, channel) * (1 - right) + corner(top, left + 1, channel) * right
          const below = corner(top + 1, left, channel) * (1 - right) + corner(top + 1, left + 1, channel) * right
          pixels[at++] = Math.min(255, Math.max(0, above * (1 - down) + below * down + (random() - 0.5) * 6))
        }
      }
    }
  }
  return pixels
}

/** Even numbers from 0 to 1, the same every time (a linear congruential generator, Numerical Recipes' constants). */
function numbers(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
