/** The Parquet file that reading is measured on: six photos of 64 pixels in row groups of four and two, as the hub keeps them. */
import { fileURLToPath } from 'node:url'

export const parquetFile = fileURLToPath(
  new URL('../../__test__/fixtures/data/containers/hub.parquet', import.meta.url),
)
export const rowsOfParquetFile = 6
