/** What the data of a configuration are like, without starting a run: statistics of its images, and what the network sees. */
import {
  applyBatchTransforms,
  type Batch,
  DataLoader,
  type Dataset,
  disposeBatch,
  measureStatistics,
  type MeasureOptions,
  type MeasuredStatistics,
} from '../data/index.js'
import { SptError, unsupported } from '../errors.js'
import { encodePng } from '../native.js'
import { scope, type Tensor } from '../tensor/index.js'
import { viewsOf } from '../train/index.js'
import { loadConfig } from './config.js'
import { runContainer, services } from './run.js'

export type DataPartName = 'train' | 'val' | 'test' | 'predict'

/** Statistics of the images of a part, as they are in their files. @throws ERR_CONFIG, ERR_PLUGIN, ERR_DATA as a run would. */
export function measureConfiguration(
  file: string,
  overrides: readonly string[],
  part: DataPartName,
  options: MeasureOptions,
): Promise<MeasuredStatistics & { readonly name: string }> {
  return withLoader(file, overrides, part, async ({ dataset }) => ({
    name: (dataset as Dataset).name,
    ...(await measureStatistics(dataset, options)),
  }))
}

/**
 * A PNG of the first images of a part as the network gets them: a row an image, a column a view, of clips the frame in the middle.
 * Each picture is stretched so that its values fill the grey levels, since what mean and standard deviation were taken off is not known here.
 */
export function drawConfiguration(
  file: string,
  overrides: readonly string[],
  part: DataPartName,
  { images }: { images: number },
): Promise<{ png: Uint8Array; images: number; views: number }> {
  return withLoader(file, overrides, part, async (loader) => {
    const rows: Picture[][] = []
    let number = 0
    for await (const batch of loader) {
      const place = { epoch: 0, batch: number++ }
      await scope(async () => {
        const made = await applyBatchTransforms(loader, batch, place)
        try {
          rows.push(...(await picturesOf(made)).slice(0, images - rows.length))
        } finally {
          if (made !== batch) disposeBatch(made)
        }
      })
      disposeBatch(batch)
      if (rows.length >= images) break
    }
    const views = rows[0]?.length ?? 0
    if (views === 0) {
      const few = loader.length === 0 && loader.dataset.length > 0
      throw new SptError(
        'ERR_DATA',
        `the data of this configuration hold no ${few ? 'whole batch' : 'image'} in ${part}`,
        {
          hint: few ? `There are ${loader.dataset.length} images: lower data.${part}.batch_size.` : undefined,
        },
      )
    }
    return { png: grid(rows), images: rows.length, views }
  })
}

async function withLoader<T>(
  file: string,
  overrides: readonly string[],
  part: DataPartName,
  use: (loader: DataLoader) => Promise<T>,
): Promise<T> {
  const loaded = await loadConfig(file, overrides)
  // Nothing is written: what would go to the run's directory is not built.
  const run = runContainer(loaded, { path: loaded.folder, id: '', lastCheckpoint: '' })
  try {
    const loader = (await run.get(services.data))[part]
    if (!(loader instanceof DataLoader)) throw unsupported('spt data', `the configuration has no ${part} data`)
    return await use(loader)
  } finally {
    await run.dispose()
  }
}

interface Picture {
  readonly rgb: Uint8Array
  readonly width: number
  readonly height: number
}

/** The views of each image of a batch. */
async function picturesOf(batch: Batch): Promise<Picture[][]> {
  const views = await Promise.all(viewsOf(batch).map(({ image }) => imagesOf(image)))
  return (views[0] ?? []).map((_, i) => views.map((pictures) => pictures[i] as Picture))
}

async function imagesOf(image: Tensor): Promise<Picture[]> {
  const [channels = 1, height = 0, width = 0] = image.shape.slice(-3)
  const [count = 0, frames = 1] = image.shape.slice(0, -3)
  const shown = image.reshape([count, frames, channels, height, width]).narrow(1, Math.floor(frames / 2), 1)
  const values = (await shown.data()) as Float32Array
  const size = channels * height * width
  return Array.from({ length: count }, (_, i) =>
    picture(values.subarray(i * size, (i + 1) * size), channels, height, width),
  )
}

function picture(values: Float32Array, channels: number, height: number, width: number): Picture {
  const plane = height * width
  const rgb = new Uint8Array(3 * plane)
  let [least, most] = [Infinity, -Infinity]
  for (const value of values) {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  // Images in [0, 1] are shown as they are.
  if (least >= 0 && most <= 1) [least, most] = [0, 1]
  const scale = most > least ? 255 / (most - least) : 0
  for (let i = 0; i < plane; i++)
    for (let c = 0; c < 3; c++)
      rgb[3 * i + c] = Math.round(((values[(c % channels) * plane + i] as number) - least) * scale)
  return { rgb, width, height }
}

/** Pictures in rows and columns, two white pixels between them. */
function grid(rows: readonly (readonly Picture[])[]): Uint8Array {
  const gap = 2
  const all = rows.flat()
  const cell = {
    width: Math.max(...all.map(({ width }) => width)),
    height: Math.max(...all.map(({ height }) => height)),
  }
  const columns = Math.max(...rows.map((row) => row.length))
  const width = columns * (cell.width + gap) + gap
  const height = rows.length * (cell.height + gap) + gap
  const canvas = new Uint8Array(3 * width * height).fill(255)
  rows.forEach((row, down) =>
    row.forEach(({ rgb, ...size }, across) => {
      const [left, top] = [gap + across * (cell.width + gap), gap + down * (cell.height + gap)]
      for (let y = 0; y < size.height; y++)
        canvas.set(rgb.subarray(3 * y * size.width, 3 * (y + 1) * size.width), 3 * ((top + y) * width + left))
    }),
  )
  return encodePng(canvas, width, height, 3)
}
