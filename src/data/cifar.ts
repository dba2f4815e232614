/**
 * The binary version of CIFAR-10 and CIFAR-100: records of label bytes followed by 3,072 bytes, the red, green and blue
 * planes of a 32x32 image. Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
 */
import { dataCorrupt } from '../errors.js'
import { damagedHint, readDataFile } from './file.js'
import { InMemoryDataset } from './in-memory.js'

export interface CifarOptions {
  /** Files of records, read in this order; each may be packed by gzip. */
  readonly files: readonly string[]
  /** Label bytes before each image: 1 in CIFAR-10, 2 in CIFAR-100 (coarse, fine). */
  readonly labelBytes: number
  /** Which of them is the label. */
  readonly labelByte: number
  readonly classes: readonly string[]
  readonly name: string
}

const side = 32
const plane = side * side
const imageBytes = 3 * plane

/** Reads the files into one array, channels interleaved. ERR_DATA where a file is missing, cut short or holds no such records. */
export async function readCifar({
  files,
  labelBytes,
  labelByte,
  classes,
  name,
}: CifarOptions): Promise<InMemoryDataset> {
  const contents = await Promise.all(files.map(readDataFile))
  const record = labelBytes + imageBytes
  const counts = contents.map((bytes, i) => recordCount(bytes, record, files[i] ?? name))
  const length = counts.reduce((sum, count) => sum + count, 0)
  const pixels = new Uint8Array(length * imageBytes)
  const labels = new Uint8Array(length)
  let at = 0
  contents.forEach((bytes, file) => {
    for (let start = 0, number = 0; start < bytes.length; start += record, number++, at++) {
      const label = bytes[start + labelByte] ?? 0
      if (label >= classes.length) {
        const message = `expected labels in 0..${classes.length - 1}, found ${label} in record ${number}`
        throw dataCorrupt(files[file] ?? name, message, 'Is this the other CIFAR? Each has a layout of its own.')
      }
      labels[at] = label
      interleave(bytes, start + labelBytes, pixels, at * imageBytes)
    }
  })
  return new InMemoryDataset({ pixels, width: side, height: side, channels: 3, labels, classes, name })
}

function recordCount(bytes: Uint8Array, record: number, path: string): number {
  if (bytes.length === 0 || bytes.length % record !== 0) {
    throw dataCorrupt(
      path,
      `expected whole records of ${record} bytes, found ${bytes.length} bytes (${(bytes.length / record).toFixed(3)} records)`,
      damagedHint,
    )
  }
  return bytes.length / record
}

/** Planes [3, 1024] to pixels [1024, 3]. */
function interleave(source: Uint8Array, from: number, target: Uint8Array, to: number): void {
  for (let channel = 0; channel < 3; channel++) {
    let out = to + channel
    for (let i = from + channel * plane, end = i + plane; i < end; i++, out += 3) target[out] = source[i] as number
  }
}
