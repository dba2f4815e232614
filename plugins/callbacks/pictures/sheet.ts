/** Sheets of pictures: RGB images side by side in rows on white, as one PNG. It draws no charts. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { encodePng, type Trainer } from 'stable-pretraining'

/** Pixels in [0, 1], [3, height, width] one channel after the other. */
export interface Rgb {
  readonly height: number
  readonly width: number
  readonly values: Float32Array
}

/** Colours of classes on pictures, far apart for the eye; class 10 begins again. */
export const palette: ReadonlyArray<readonly [number, number, number]> = [
  [0.12, 0.47, 0.71],
  [1.0, 0.5, 0.05],
  [0.17, 0.63, 0.17],
  [0.84, 0.15, 0.16],
  [0.58, 0.4, 0.74],
  [0.55, 0.34, 0.29],
  [0.89, 0.47, 0.76],
  [0.5, 0.5, 0.5],
  [0.74, 0.74, 0.13],
  [0.09, 0.75, 0.81],
]

/** Rows of pictures of one size as a PNG; small ones are shown larger, each pixel as a square. */
export function sheet(rows: ReadonlyArray<readonly Rgb[]>, { side = 128, gap = 4 } = {}): Uint8Array {
  const first = rows[0]?.[0]
  if (first === undefined) throw new RangeError('a sheet needs a picture')
  const zoom = Math.max(1, Math.floor(side / Math.max(first.height, first.width)))
  const [height, width] = [first.height * zoom, first.width * zoom]
  const columns = Math.max(...rows.map((row) => row.length))
  const [totalHeight, totalWidth] = [rows.length * (height + gap) + gap, columns * (width + gap) + gap]
  const pixels = new Uint8Array(totalHeight * totalWidth * 3).fill(255)
  for (const [r, row] of rows.entries()) {
    for (const [c, picture] of row.entries()) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const from = Math.floor(y / zoom) * picture.width + Math.floor(x / zoom)
          const to = ((gap + r * (height + gap) + y) * totalWidth + gap + c * (width + gap) + x) * 3
          for (let channel = 0; channel < 3; channel++) {
            const value = picture.values[channel * picture.height * picture.width + from] ?? 0
            pixels[to + channel] = Math.round(255 * Math.min(1, Math.max(0, value)))
          }
        }
      }
    }
  }
  return encodePng(pixels, totalWidth, totalHeight, 3)
}

/** Each channel stretched to [0, 1]: an image that was normalised becomes one to look at. */
export function stretched({ height, width, values }: Rgb): Rgb {
  const size = height * width
  const out = new Float32Array(3 * size)
  const channels = values.length / size
  for (let channel = 0; channel < 3; channel++) {
    const plane = values.subarray((channel % channels) * size, (channel % channels) * size + size)
    const [low, high] = [quantile(plane, 0.01), quantile(plane, 0.99)]
    for (let i = 0; i < size; i++) out[channel * size + i] = (plane[i]! - low) / Math.max(high - low, 1e-6)
  }
  return { height, width, values: out }
}

/** The value below which a share of the values lies. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))] ?? 0
}

/** A grid of cells [rows, columns] as a picture of another size, each cell a rectangle. */
export function enlarged(cells: Rgb, height: number, width: number): Rgb {
  const values = new Float32Array(3 * height * width)
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [cellY, cellX] = [Math.floor((y * cells.height) / height), Math.floor((x * cells.width) / width)]
        const from = channel * cells.height * cells.width + cellY * cells.width + cellX
        values[channel * height * width + y * width + x] = cells.values[from]!
      }
    }
  }
  return { height, width, values }
}

/** Rows and columns of patch tokens: as given, else a square. */
export function gridOf(tokens: number, given: readonly [number, number] | undefined): [number, number] {
  const side = Math.round(Math.sqrt(tokens))
  const [rows, columns] = given ?? [side, side]
  if (rows * columns !== tokens) {
    throw new RangeError(
      `${tokens} patch tokens do not fill a grid of ${rows} by ${columns}; set grid_size and num_prefix_tokens`,
    )
  }
  return [rows, columns]
}

/** Where a callback's picture of this epoch goes, without its ending: `pictures/<name>/epoch_0001` of the run. */
export async function picturePath({ runDirectory, currentEpoch }: Trainer, name: string): Promise<string> {
  const folder = join(runDirectory ?? '.', 'pictures', name)
  await mkdir(folder, { recursive: true })
  return join(folder, `epoch_${String(currentEpoch).padStart(4, '0')}`)
}
