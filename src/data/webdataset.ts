/**
 * WebDataset shards: tar archives in which the files of a sample stand together and share their name up to the first dot.
 * Opening reads the members' headers only; a sample is one reading of the disk. A random order visits the shards one after
 * the other and mixes within a buffer, as streaming does, but each sample has a place, so that a run finds back to its own.
 */
import { type SptError, dataCorrupt, dataMissing, reason } from '../errors.js'
import { filesOf } from './file-patterns.js'
import { fileSource, memorySource, readDataFile, withOpenSource, type ByteSource } from './file.js'
import { imageExtensions } from './image-folder.js'
import { checkIndex } from './in-memory.js'
import { labelOf } from './labels.js'
import { blockPermutation } from './random-order.js'
import { RecentlyUsed } from './recently-used.js'
import type { Dataset, Sample } from './sample.js'
import { tarMembers } from './tar.js'

export interface WebDatasetOptions {
  /** Tar files, also packed by gzip: paths, a pattern such as `train-{000..012}.tar` or `train-*.tar`, a folder of them, or bytes at hand. */
  readonly shards: readonly (string | ByteSource)[]
  /** Endings of images, the first that a sample has; default: those of an image folder. */
  readonly image?: readonly string[] | undefined
  /** The ending of the file with the label, or `json.<field>`; default: `cls` where the first sample has one; null: none. */
  readonly label?: string | null | undefined
  /** Further endings that samples hand on: .json parsed, .txt and .cls as text, others as bytes. */
  readonly keep?: readonly string[] | undefined
  /** Class 0 first; without, labels are whole numbers. */
  readonly classes?: readonly string[] | undefined
  /** Bytes of unpacked shards held at most, where they are packed by gzip. Default 1 GiB; the one in use is held in any case. */
  readonly cacheBytes?: number | undefined
  /** Samples that a random order mixes; a shard is mixed whole at least. */
  readonly shuffleBuffer?: number | undefined
  readonly name?: string | undefined
}

const shardEndings = ['.tar', '.tar.gz', '.tgz']

/** A sample of more bytes than this is taken for a lie. */
const largestSample = 2 ** 30

/** Bytes of unpacked shards. */
const defaultCache = 2 ** 30

/** Shards whose headers are read at once. */
const together = 8

interface Shard {
  readonly source: ByteSource
  /** Where each sample's first header begins, and where the last one ends: 8 bytes a sample are held. */
  readonly begins: Float64Array
  /** Whether reading a sample may unpack the whole shard. */
  readonly packed: boolean
}

export class WebDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly label: string | null
  readonly #options: WebDatasetOptions
  readonly #shards: readonly Shard[]
  readonly #starts: readonly number[]

  private constructor(shards: readonly Shard[], label: string | null, options: WebDatasetOptions) {
    this.name = options.name ?? 'webdataset'
    this.#shards = shards
    this.#options = options
    this.label = label
    let length = 0
    this.#starts = shards.map(({ begins }) => (length += begins.length - 1) - begins.length + 1)
    this.length = length
    if (options.classes !== undefined) this.classes = options.classes
  }

  /** Lists the members of each shard. ERR_DATA where one is missing, cut off, damaged, or holds a sample twice. */
  static async open(options: WebDatasetOptions): Promise<WebDataset> {
    const places = await Promise.all(
      options.shards.map((shard) => (typeof shard === 'string' ? filesOf(shard, shardEndings) : [shard])),
    )
    const shards: Shard[] = []
    // Several at once, as a disk or a file server likes it.
    const unpacked = new RecentlyUsed<Uint8Array>(options.cacheBytes ?? defaultCache)
    for (let rest: (string | ByteSource)[] = places.flat(); rest.length > 0; rest = rest.slice(together))
      shards.push(...(await openShards(rest.slice(0, together), unpacked)))
    const first = shards.find(({ begins }) => begins.length > 1)
    if (first === undefined) throw dataMissing(options.name ?? 'webdataset', 'sample in its shards')
    const { files } = await readSample(first, 0)
    return new WebDataset(
      shards,
      options.label === undefined ? (files.has('cls') ? 'cls' : null) : options.label,
      options,
    )
  }

  /** Shards in random order, mixed within as many whole ones as the buffer holds. */
  shuffled(seed: number, epoch: number): Uint32Array {
    const lengths = this.#shards.map(({ begins }) => begins.length - 1)
    const { shuffleBuffer = 10_000, cacheBytes = defaultCache } = this.#options
    const packed = this.#shards.filter((shard) => shard.packed)
    if (packed.length === 0) return blockPermutation(lengths, shuffleBuffer, seed, epoch)
    // Shards that are mixed with each other have to be held unpacked together.
    const bytes = packed.reduce((sum, { source }) => sum + source.size, 0) / packed.length
    const samples = packed.reduce((sum, { begins }) => sum + begins.length - 1, 0) / packed.length
    return blockPermutation(lengths, Math.min(shuffleBuffer, (cacheBytes / 2 / bytes) * samples), seed, epoch)
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    const number = this.#starts.findLastIndex((start) => start <= index)
    const shard = this.#shards[number] as Shard
    const { key, files } = await readSample(shard, index - (this.#starts[number] as number))
    const where = `${shard.source.path}, ${key}`
    const { image = imageExtensions.map((ending) => ending.slice(1)), keep = [], classes } = this.#options
    const ending = image.find((name) => files.has(name))
    if (ending === undefined) throw lacking(where, image.join(', '), files)
    const [labelEnding = '', ...field] = this.label?.split('.') ?? []
    const bytesOf = (name: string): Uint8Array => {
      const found = files.get(name)
      if (found === undefined) throw lacking(where, name, files)
      return found
    }
    const handed = keep.map((name) => [name, valueOf(name, bytesOf(name), where)])
    const sample = {
      ...Object.fromEntries(handed),
      key,
      image: { encoded: bytesOf(ending), path: where },
      index,
    } as Sample
    if (this.label === null) return sample
    const value = field.reduce<unknown>(
      (object, name) => (object as Record<string, unknown> | null | undefined)?.[name],
      valueOf(labelEnding, bytesOf(labelEnding), where),
    )
    return { ...sample, label: labelOf(typeof value === 'string' ? value.trim() : value, classes, where) }
  }
}

/** Plain ones at once; packed ones one after the other, since each takes memory for all of it. */
async function openShards(
  shards: readonly (string | ByteSource)[],
  unpacked: RecentlyUsed<Uint8Array>,
): Promise<Shard[]> {
  const plain = await Promise.all(shards.map(openPlain))
  const all: Shard[] = []
  for (const [i, shard] of plain.entries()) all.push(shard ?? (await openPacked(shards[i] as string, unpacked)))
  return all
}

/** Nothing where the file is packed by gzip. */
async function openPlain(shard: string | ByteSource): Promise<Shard | undefined> {
  if (typeof shard !== 'string') return { source: shard, begins: await samplesOf(shard), packed: false }
  const source = await fileSource(shard)
  const start = await source.read(0, Math.min(2, source.size))
  if (start[0] === 0x1f && start[1] === 0x8b) return undefined
  return { source, begins: await withOpenSource(shard, samplesOf), packed: false }
}

/** It has no places to jump to: it is unpacked whole when a sample of it is needed, and held while there is room. */
async function openPacked(path: string, unpacked: RecentlyUsed<Uint8Array>): Promise<Shard> {
  const whole = () =>
    unpacked.take(
      path,
      () => readDataFile(path),
      ({ length }) => length,
    )
  const { length: size } = await whole()
  const source: ByteSource = {
    path,
    size,
    read: async (begin, length) => memorySource(path, await whole()).read(begin, length),
  }
  return { source, begins: await samplesOf(source), packed: true }
}

/** Where the samples of a shard are. */
async function samplesOf(source: ByteSource): Promise<Float64Array> {
  const keys = new Set<string>()
  const begins: number[] = []
  let [current, end] = ['', 0]
  for await (const { name, header, next } of tarMembers(source)) {
    const { key } = partsOf(name)
    if (key === undefined) continue
    if (key !== current) {
      if (keys.has(key))
        throw dataCorrupt(
          source.path,
          `the files of ${key} do not stand together`,
          'Sort the names when writing the tar.',
        )
      keys.add(key)
      begins.push(header)
      current = key
    }
    end = next
  }
  begins.push(end)
  return Float64Array.from(begins)
}

/** The bytes of a sample's files by ending. */
async function readSample(
  { source, begins }: Shard,
  place: number,
): Promise<{ key: string; files: Map<string, Uint8Array> }> {
  const begin = begins[place] as number
  const size = (begins[place + 1] as number) - begin
  if (size > largestSample) throw dataCorrupt(source.path, `a sample of ${size} bytes at byte ${begin}`)
  const bytes = await source.read(begin, size)
  const files = new Map<string, Uint8Array>()
  let sample: string | undefined
  for await (const { name, offset, size: length } of tarMembers(memorySource(source.path, bytes), { part: true })) {
    const { key, ending } = partsOf(name)
    sample ??= key
    if (key === undefined || key !== sample) continue
    if (files.has(ending)) throw dataCorrupt(source.path, `it holds ${name} twice`)
    files.set(ending, bytes.subarray(offset, offset + length))
  }
  return { key: sample ?? '', files }
}

/** `a/b.seg.PNG` is the file `seg.png` of the sample `a/b`. Files without an ending, and hidden ones, belong to no sample. */
function partsOf(name: string): { key?: string; ending: string } {
  const cut = /^((?:.*\/)?[^/.]+)\.([^/]+)$/.exec(name)
  return cut === null ? { ending: '' } : { key: cut[1] as string, ending: (cut[2] as string).toLowerCase() }
}

function valueOf(ending: string, bytes: Uint8Array, where: string): unknown {
  const kind = ending.split('.').at(-1)
  if (kind !== 'json' && kind !== 'txt' && kind !== 'cls') return bytes
  const text = new TextDecoder().decode(bytes)
  if (kind !== 'json') return text
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw dataCorrupt(where, `its .${ending} is no JSON (${reason(cause)})`)
  }
}

function lacking(where: string, what: string, files: ReadonlyMap<string, unknown>): SptError {
  return dataCorrupt(where, `expected a file .${what}, found ${[...files.keys()].map((name) => `.${name}`).join(', ')}`)
}
