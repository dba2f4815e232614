/**
 * The zip archives .npz files are: the directory, and one member at a time, stored or deflated, by Node's own zlib.
 * No general archiver: no folders, encryption, or archives cut into several files.
 */
import type { FileHandle } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { crc32, createDeflateRaw, createInflateRaw } from 'node:zlib'
import { dataCorrupt, unsupported } from '../errors.js'
import { ByteReader, bytesOfFile } from './byte-reader.js'

export interface ZipMember {
  name: string
  /** 0: stored, 8: deflated. */
  method: number
  /** Of the bytes themselves. */
  crc: number
  /** Bytes in the archive. */
  compressedSize: number
  /** Bytes of the member. */
  size: number
  /** Where its local header begins. */
  offset: number
}

/** The members that the directory at the end of an archive of `size` bytes names, by name. */
export async function readZipDirectory(path: string, file: FileHandle, size: number): Promise<Map<string, ZipMember>> {
  const { count, begin, length } = await findDirectory(path, file, size)
  if (begin + length > size) {
    throw dataCorrupt(path, `its directory lies at ${begin} to ${begin + length}, the file has ${size} bytes`)
  }
  const directory = await take(path, file, begin, length)
  const members = new Map<string, ZipMember>()
  let at = 0
  for (let index = 0; index < count; index += 1) {
    if (at + 46 > length || directory.getUint32(at, true) !== 0x02014b50)
      throw dataCorrupt(path, `entry ${index} of ${count} in its directory is malformed`)
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
      directory.getUint16(at + field, true),
    ) as [number, number, number]
    const next = at + 46 + nameLength + extraLength + commentLength
    if (next > length) throw dataCorrupt(path, `entry ${index} of ${count} in its directory is cut off`)
    const member = parseMember(path, directory, at, nameLength, extraLength)
    if (members.has(member.name)) throw dataCorrupt(path, `names ${JSON.stringify(member.name)} twice`)
    members.set(member.name, member)
    at = next
  }
  const total = [...members.values()].reduce((sum, member) => sum + member.compressedSize, 0)
  if (total > size) throw dataCorrupt(path, `its members have ${total} bytes, the file ${size}: some overlap`)
  return members
}

/** Where the bytes of a member begin, as they are in the archive. */
export async function memberBegin(where: string, file: FileHandle, { offset }: ZipMember): Promise<number> {
  const header = await take(where, file, offset, 30)
  if (header.getUint32(0, true) !== 0x04034b50) throw dataCorrupt(where, `has no header at byte ${offset}`)
  return offset + 30 + header.getUint16(26, true) + header.getUint16(28, true)
}

/** The bytes of a member in order; its checksum is compared when the last ones are asked for. */
export async function* readZipMember(where: string, file: FileHandle, member: ZipMember): AsyncGenerator<Uint8Array> {
  const begin = await memberBegin(where, file, member)
  const stored = bytesOfFile(file, begin, begin + member.compressedSize)
  // With a callback, an error of one stream ends the other; the loop below gets it too.
  const pieces = member.method === 0 ? stored : pipeline(Readable.from(stored), createInflateRaw(), () => undefined)
  let [size, crc] = [0, 0]
  for await (const piece of pieces as AsyncIterable<Uint8Array>) {
    size += piece.length
    if (size > member.size) throw dataCorrupt(where, `has more than the ${member.size} bytes its directory names`)
    crc = crc32(piece, crc)
    yield piece
  }
  if (size !== member.size) throw dataCorrupt(where, `has ${size} bytes, its directory names ${member.size}`)
  if (crc !== member.crc) throw dataCorrupt(where, 'its bytes do not match their checksum')
}

/**
 * Writes an archive into an empty file, one member at a time. All sizes are written in 64 bits, as NumPy does, so that
 * there is one way for members of any size.
 */
export async function writeZip(
  file: FileHandle,
  members: AsyncIterable<{ name: string; pieces: readonly Uint8Array[] }>,
  { compress }: { compress: boolean },
): Promise<void> {
  const directory: Uint8Array[] = []
  let position = 0
  for await (const { name, pieces } of members) {
    const encoded = new TextEncoder().encode(name)
    const offset = position
    position += 30 + encoded.length + 20
    const begin = position
    let [size, crc] = [0, 0]
    const cut = function* (): Generator<Uint8Array> {
      for (const piece of pieces) {
        for (let from = 0; from < piece.length; from += 2 ** 20) {
          const part = piece.subarray(from, from + 2 ** 20)
          size += part.length
          crc = crc32(part, crc)
          yield part
        }
      }
    }
    const packed = compress ? pipeline(Readable.from(cut()), createDeflateRaw(), () => undefined) : cut()
    for await (const part of packed as AsyncIterable<Uint8Array>) position += await writeAt(file, part, position)
    const fields = { encoded, method: compress ? 8 : 0, crc, size, compressedSize: position - begin, offset }
    await writeAt(file, localHeader(fields), offset)
    directory.push(directoryEntry(fields))
  }
  const length = directory.reduce((sum, entry) => sum + entry.length, 0)
  for (const entry of [...directory, directoryEnd(directory.length, length, position)])
    position += await writeAt(file, entry, position)
}

/** From the record at the end of the file, or the one of 64 bits that it points to. */
async function findDirectory(
  path: string,
  file: FileHandle,
  size: number,
): Promise<{ count: number; begin: number; length: number }> {
  const tailLength = Math.min(size, 22 + 0xffff)
  const tail = await take(path, file, size - tailLength, tailLength)
  for (let at = tailLength - 22; at >= 0; at -= 1) {
    // A comment may hold the signature too; the real record's comment ends with the file.
    if (tail.getUint32(at, true) !== 0x06054b50 || at + 22 + tail.getUint16(at + 20, true) !== tailLength) continue
    const [count, length, begin] = [
      tail.getUint16(at + 10, true),
      tail.getUint32(at + 12, true),
      tail.getUint32(at + 16, true),
    ]
    if (tail.getUint16(at + 4, true) !== 0 && tail.getUint16(at + 4, true) !== 0xffff)
      throw unsupported(path, 'is one of several parts of an archive')
    if (count !== 0xffff && length !== 0xffffffff && begin !== 0xffffffff) return { count, length, begin }
    const hasLocator = at >= 20 && tail.getUint32(at - 20, true) === 0x07064b50
    const record = hasLocator ? await take(path, file, large(path, tail, at - 12), 56) : undefined
    if (record?.getUint32(0, true) !== 0x06064b50) throw dataCorrupt(path, 'its 64-bit directory is missing')
    return { count: large(path, record, 32), length: large(path, record, 40), begin: large(path, record, 48) }
  }
  throw dataCorrupt(path, `is cut off or no .npz file: ${size} bytes without a directory at the end`)
}

function parseMember(
  path: string,
  directory: DataView,
  at: number,
  nameLength: number,
  extraLength: number,
): ZipMember {
  const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameLength))
  const where = `${path}: member ${JSON.stringify(name)}`
  const [flags, method] = [directory.getUint16(at + 8, true), directory.getUint16(at + 10, true)]
  if (flags & 1) throw unsupported(where, 'is encrypted')
  if (method !== 0 && method !== 8) throw unsupported(where, `is compressed by method ${method}`, 'Deflate it instead.')
  const fields = [24, 20, 42].map((field) => directory.getUint32(at + field, true))
  // Sizes that do not fit 32 bits stand, in this order, in the extra field of kind 1.
  const end = at + 46 + nameLength + extraLength
  for (let extra = at + 46 + nameLength; extra + 4 <= end;) {
    const next = extra + 4 + directory.getUint16(extra + 2, true)
    if (directory.getUint16(extra, true) === 1) {
      let from = extra + 4
      for (const [index, value] of fields.entries()) {
        if (value !== 0xffffffff) continue
        if (from + 8 > Math.min(next, end)) throw dataCorrupt(where, 'its 64-bit sizes are cut off')
        fields[index] = large(where, directory, from)
        from += 8
      }
      break
    }
    extra = next
  }
  const [size = 0, compressedSize = 0, offset = 0] = fields
  if (method === 0 && size !== compressedSize)
    throw dataCorrupt(where, `is stored with ${compressedSize} bytes and has ${size}`)
  // Deflate shrinks to 1/1032 at best: a size beyond that is a lie that would cost memory.
  if (size > 1040 * compressedSize + 64)
    throw dataCorrupt(where, `cannot have ${size} bytes in ${compressedSize} deflated ones`)
  return { name, method, crc: directory.getUint32(at + 16, true), compressedSize, size, offset }
}

interface MemberFields extends Omit<ZipMember, 'name'> {
  encoded: Uint8Array
}

/** Version 4.5 (64-bit sizes), names in UTF-8, dated 1980-01-01 so that the same tensors make the same file. */
function memberStart(view: DataView, at: number, { encoded, method, crc }: MemberFields): void {
  view.setUint16(at, 45, true)
  view.setUint16(at + 2, 0x0800, true)
  view.setUint16(at + 4, method, true)
  view.setUint16(at + 8, 0x0021, true)
  view.setUint32(at + 10, crc, true)
  view.setUint32(at + 14, 0xffffffff, true)
  view.setUint32(at + 18, 0xffffffff, true)
  view.setUint16(at + 22, encoded.length, true)
}

function localHeader(fields: MemberFields): Uint8Array {
  const { encoded, size, compressedSize } = fields
  const view = new DataView(new ArrayBuffer(30 + encoded.length + 20))
  view.setUint32(0, 0x04034b50, true)
  memberStart(view, 4, fields)
  view.setUint16(28, 20, true)
  setExtra(view, 30 + encoded.length, [size, compressedSize])
  return withName(view, 30, encoded)
}

function directoryEntry(fields: MemberFields): Uint8Array {
  const { encoded, size, compressedSize, offset } = fields
  const view = new DataView(new ArrayBuffer(46 + encoded.length + 28))
  view.setUint32(0, 0x02014b50, true)
  view.setUint16(4, 45, true)
  memberStart(view, 6, fields)
  view.setUint16(30, 28, true)
  view.setUint32(42, 0xffffffff, true)
  setExtra(view, 46 + encoded.length, [size, compressedSize, offset])
  return withName(view, 46, encoded)
}

/** The directory's record of 64 bits, the pointer to it, and the record that every reader looks for. */
function directoryEnd(count: number, length: number, begin: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(56 + 20 + 22))
  view.setUint32(0, 0x06064b50, true)
  view.setBigUint64(4, 44n, true)
  view.setUint16(12, 45, true)
  view.setUint16(14, 45, true)
  for (const [index, value] of [count, count, length, begin].entries())
    view.setBigUint64(24 + 8 * index, BigInt(value), true)
  view.setUint32(56, 0x07064b50, true)
  view.setBigUint64(64, BigInt(begin + length), true)
  view.setUint32(72, 1, true)
  view.setUint32(76, 0x06054b50, true)
  view.setUint16(84, 0xffff, true)
  view.setUint16(86, 0xffff, true)
  view.setUint32(88, 0xffffffff, true)
  view.setUint32(92, 0xffffffff, true)
  return new Uint8Array(view.buffer)
}

function setExtra(view: DataView, at: number, sizes: readonly number[]): void {
  view.setUint16(at, 1, true)
  view.setUint16(at + 2, 8 * sizes.length, true)
  for (const [index, size] of sizes.entries()) view.setBigUint64(at + 4 + 8 * index, BigInt(size), true)
}

function withName(view: DataView, at: number, encoded: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(view.buffer)
  bytes.set(encoded, at)
  return bytes
}

/** A number of 64 bits that counts bytes. */
function large(where: string, view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true))
  if (!Number.isSafeInteger(value)) throw dataCorrupt(where, `names a size of ${value} bytes`)
  return value
}

async function take(where: string, file: FileHandle, begin: number, length: number): Promise<DataView> {
  const bytes = await new ByteReader(where, bytesOfFile(file, begin, begin + length)).take(length)
  return new DataView(bytes.buffer)
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  for (let done = 0; done < bytes.length;)
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
  return bytes.length
}
