/** A pass of the loader that only reads: JPEG files decoded, or rows of Parquet files in random order, decoded and resized. */
import * as sp from 'stable-pretraining'
import { imagesOf, type Case } from '../harness/cases.js'
import type { Setting } from '../harness/options.js'
import { parquetFile, rowsOfParquetFile } from './parquet-place.js'
import { passOf } from './pass.js'
import { photos } from './pictures.js'
import type { Work } from './program.js'

export async function reading(work: Case & { kind: 'decode' | 'parquet' }, { threads }: Setting): Promise<Work> {
  const length = imagesOf(work) ?? 0
  const files = photos()
  const dataset =
    work.kind === 'decode'
      ? {
          name: work.name,
          length,
          get: (index: number) => ({ image: { encoded: files[index % files.length]! }, index }),
        }
      : await sp.ParquetDataset.open({
          // The file stands for as many shards as are needed.
          files: Array<string>(length / rowsOfParquetFile).fill(parquetFile),
          // No page is met twice.
          cacheBytes: 1,
        })
  const resize = { type: 'resize', size: [32, 32], interpolation: 'bilinear', antialias: true } as const
  const loader = new sp.DataLoader({
    dataset,
    batchSize: 128,
    numWorkers: threads,
    shuffle: work.kind === 'parquet',
    transform: { steps: work.kind === 'parquet' ? [resize] : [] },
  })
  return passOf(loader, work.name, length)
}
