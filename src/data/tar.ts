/**
 * Tar archives as an index of their members: headers are read, contents are jumped over. POSIX ustar and pax, GNU long names.
 * Source of the layout: IEEE Std 1003.1, "pax", "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */
import { dataCorrupt, unsupported } from '../errors.js'
import { damagedHint, type ByteSource } from './file.js'

export interface TarMember {
  readonly name: string
  /** Where its header begins, or the first of the headers that carry its long name. */
  readonly header: number
  /** Where its bytes begin. */
  readonly offset: number
  readonly size: number
  /** Where the next header begins. */
  readonly next: number
}

const block = 512

/** Headers of small members are read together. */
const ahead = 32 * block

/** Names and records of long values are no longer than this. */
const longestRecord = 2 ** 20

/**
 * Regular files in order; of some bytes of an archive, those that end within. ERR_DATA where the archive is cut off or a header
 * is damaged.
 */
export async function* tarMembers(source: ByteSource, { part = false } = {}): AsyncGenerator<TarMember> {
  const { path, size } = source
  let [position, header] = [0, 0]
  let read = { begin: 0, bytes: new Uint8Array(0) }
  let long: { path?: string; size?: number } = {}
  while (!(part && position === size)) {
    if (position + block > size)
      throw dataCorrupt(path, `is cut off: there is no end after byte ${position}`, damagedHint)
    if (position < read.begin || position + block > read.begin + read.bytes.length)
      read = { begin: position, bytes: await source.read(position, Math.min(ahead, size - position)) }
    const bytes = read.bytes.subarray(position - read.begin, position - read.begin + block)
    if (bytes.every((byte) => byte === 0)) return
    if (position === 0 && bytes[0] === 0x1f && bytes[1] === 0x8b)
      throw unsupported(
        path,
        'a tar archive packed by gzip has no places to jump to',
        'Give it as a file, or unpack it: gunzip FILE.',
      )
    checkSum(path, bytes, position)
    const type = String.fromCharCode(bytes[156] as number)
    const length = long.size ?? numberIn(path, bytes, 124, 12, position)
    const offset = position + block
    const next = offset + Math.ceil(length / block) * block
    if (!(length >= 0 && next <= size))
      throw dataCorrupt(path, `is cut off: a member of ${length} bytes at ${position}, it has ${size}`, damagedHint)
    if (type === 'L' || type === 'x') {
      if (length > longestRecord) throw dataCorrupt(path, `a header of ${length} bytes at ${position}`)
      const record = await source.read(offset, length)
      long = type === 'L' ? { ...long, path: textIn(record, 0, length) } : { ...long, ...paxRecords(path, record) }
    } else {
      if (type === '0' || type === '\0' || type === '7')
        yield { name: long.path ?? nameIn(bytes), header, offset, size: length, next }
      else if (type === 'S') throw unsupported(path, 'sparse files in a tar archive cannot be read')
      long = {}
      header = next
    }
    position = next
  }
}

function checkSum(path: string, bytes: Uint8Array, position: number): void {
  let sum = 0
  // Its own eight bytes count as spaces.
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : (bytes[i] as number)
  if (sum !== numberIn(path, bytes, 148, 8, position)) {
    throw dataCorrupt(path, `expected the header of a tar member at byte ${position}, found other bytes`, damagedHint)
  }
}

/** Octal digits, or with the highest bit set a number of base 256. */
function numberIn(path: string, bytes: Uint8Array, at: number, length: number, position: number): number {
  if ((bytes[at] as number) >= 128) {
    let value = (bytes[at] as number) & 127
    for (let i = 1; i < length; i++) value = value * 256 + (bytes[at + i] as number)
    if (Number.isSafeInteger(value)) return value
  }
  const digits = textIn(bytes, at, length).trim()
  if (!/^[0-7]*$/.test(digits))
    throw dataCorrupt(path, `a damaged number in the header at byte ${position}`, damagedHint)
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

function nameIn(bytes: Uint8Array): string {
  const prefix = textIn(bytes, 257, 5) === 'ustar' ? textIn(bytes, 345, 155) : ''
  const name = textIn(bytes, 0, 100)
  return prefix === '' ? name : `${prefix}/${name}`
}

/** Lines of "length key=value". */
function paxRecords(path: string, record: Uint8Array): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {}
  for (let at = 0; at < record.length;) {
    const head = /^(\d+) ([^=]*)=/.exec(textIn(record, at, Math.min(200, record.length - at)))
    const length = Number(head?.[1] ?? 0)
    if (head === null || length <= head[0].length || at + length > record.length)
      throw dataCorrupt(path, 'a damaged extended header', damagedHint)
    const value = textIn(record, at + new TextEncoder().encode(head[0]).length, length - head[0].length - 1)
    if (head[2] === 'path') found.path = value
    if (head[2] === 'size') found.size = Number(value)
    at += length
  }
  if (found.size !== undefined && !Number.isSafeInteger(found.size))
    throw dataCorrupt(path, `a member of ${found.size} bytes`)
  return found
}

/** Text up to a zero. */
function textIn(bytes: Uint8Array, at: number, length: number): string {
  const part = bytes.subarray(at, at + length)
  const end = part.indexOf(0)
  return new TextDecoder().decode(end < 0 ? part : part.subarray(0, end))
}
