/** Reads bytes in order out of whatever yields them in pieces, and says so when there are too few. */
import { open, type FileHandle } from 'node:fs/promises'
import { dataCorrupt, dataMissing, errorCode, reason } from '../errors.js'

export class ByteReader {
  readonly #where: string
  readonly #pieces: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  /** `where` names the file, and what of it, in errors. */
  constructor(where: string, pieces: AsyncIterable<Uint8Array>) {
    this.#where = where
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  /** Exactly that many bytes, in a buffer of their own. @throws ERR_DATA when it ends before. */
  async take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      if (this.#rest.length === 0 && !(await this.#next()))
        throw dataCorrupt(this.#where, `is cut off: ${length - done} bytes are missing`)
      const piece = this.#rest.subarray(0, length - done)
      bytes.set(piece, done)
      done += piece.length
      this.#rest = this.#rest.subarray(piece.length)
    }
    return bytes
  }

  /** @throws ERR_DATA when anything is left, or reading it to the end fails (a checksum). */
  async end(): Promise<void> {
    while (this.#rest.length === 0) if (!(await this.#next())) return
    throw dataCorrupt(this.#where, 'has more bytes than its shape says')
  }

  async #next(): Promise<boolean> {
    try {
      const { value, done } = await this.#pieces.next()
      if (done !== true) this.#rest = value as Uint8Array
      return done !== true
    } catch (cause) {
      if (errorCode(cause) !== undefined) throw cause
      throw dataCorrupt(this.#where, `cannot be read (${reason(cause)})`)
    }
  }
}

/** Opens a file of data, runs `use` with it and its size, and closes it. @throws ERR_DATA when there is none. */
export async function withFile<T>(path: string, use: (file: FileHandle, size: number) => Promise<T>): Promise<T> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw dataMissing(path, 'file')
    throw dataCorrupt(path, `cannot be opened (${reason(cause)})`)
  })
  try {
    return await use(file, (await file.stat()).size)
  } finally {
    await file.close()
  }
}

/** Bytes [begin, end) of a file, a mebibyte at a time. */
export async function* bytesOfFile(file: FileHandle, begin: number, end: number): AsyncGenerator<Uint8Array> {
  for (let position = begin; position < end;) {
    const piece = new Uint8Array(Math.min(end - position, 2 ** 20))
    const { bytesRead } = await file.read(piece, 0, piece.length, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield piece.subarray(0, bytesRead)
  }
}
