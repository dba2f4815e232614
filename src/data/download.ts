/**
 * Fetching a file over HTTP so that it is whole or not there: what arrived is kept beside it and gone on with, failures of
 * the network are tried again, size and checksum are compared before the file gets its name.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SptError, errorCode, reason } from '../errors.js'

export interface DownloadOptions {
  /** Bytes of the whole file, where known. */
  readonly size?: number | undefined
  /** Checksum of the whole file in hexadecimal: 64 digits are its SHA-256, 40 the SHA-1 of a git blob. */
  readonly checksum?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** How often it is tried. */
  readonly attempts?: number
  /** Milliseconds before the second attempt; each further one waits twice as long, or as long as the server asks. */
  readonly delay?: number
  /** Milliseconds without a byte after which an attempt is given up. */
  readonly timeout?: number
  /** Called with the bytes that are there, as they come. */
  readonly onProgress?: (bytes: number) => void
}

/** The longest that a server may make us wait between two attempts, in milliseconds. */
const longestWait = 120_000

/**
 * Writes what `url` gives to `path`, which must not exist yet; a partial file beside it (`<path>.incomplete`) is gone on with.
 *
 * @throws ERR_DATA naming the URL when the server refuses, the attempts are used up, or size or checksum differ.
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  const { attempts = 5, delay = 1000 } = options
  await mkdir(dirname(path), { recursive: true })
  const partial = `${path}.incomplete`
  let restarted = false
  for (let attempt = 1; ; attempt++) {
    try {
      const resumed = await fetchRest(url, partial, options)
      const wrong = await difference(partial, options)
      if (wrong === undefined) return await rename(partial, path)
      await rm(partial, { force: true })
      // What an earlier, other version of the file left must not count against this one.
      if (resumed && !restarted) {
        restarted = true
        continue
      }
      throw new SptError('ERR_DATA', `${url}: ${wrong}`, {
        hint: 'It changed on its way, or on the server: try again.',
      })
    } catch (cause) {
      if (errorCode(cause) !== undefined) throw cause
      if (attempt >= attempts) {
        const message = `${url}: could not be fetched in ${attempts} attempts (${reason(cause)})`
        throw new SptError('ERR_DATA', message, { cause, hint: 'What arrived is kept; run it again to go on.' })
      }
      const asked = cause instanceof TryLater ? cause.wait : undefined
      await sleep(Math.min(longestWait, asked ?? delay * 2 ** (attempt - 1)))
    }
  }
}

/** The server is there and asks to come back. */
class TryLater extends Error {
  readonly wait: number | undefined

  constructor(status: number, retryAfter: string | null) {
    super(`the server answered ${status}`)
    const seconds = Number(retryAfter ?? NaN)
    const date = Date.parse(retryAfter ?? '')
    this.wait = seconds >= 0 ? 1000 * seconds : date >= 0 ? Math.max(0, date - Date.now()) : undefined
  }
}

/** One request for what is missing; whether it went on with an earlier one. */
async function fetchRest(url: string, partial: string, options: DownloadOptions): Promise<boolean> {
  const { headers = {}, timeout = 60_000, size, onProgress } = options
  const have = await stat(partial).then(
    (found) => found.size,
    () => 0,
  )
  if (size !== undefined && have === size) return true
  const begin = size !== undefined && have > size ? 0 : have
  const abort = new AbortController()
  let timer = setTimeout(() => abort.abort(), timeout)
  const file = await open(partial, begin > 0 ? 'r+' : 'w')
  try {
    const range = begin > 0 ? { Range: `bytes=${begin}-` } : {}
    const response = await fetch(url, { headers: { ...headers, ...range }, signal: abort.signal })
    if (response.status === 416) {
      // The rest is empty, or what is here is longer than the file: the comparison after this tells.
      await response.body?.cancel()
      return true
    }
    refuse(url, response)
    const from = response.headers.get('content-range')?.match(/^bytes (\d+)-/)?.[1]
    const resumed = begin > 0 && response.status === 206 && Number(from) === begin
    if (response.status === 206 && !resumed) throw new Error(`the server sent another part: ${from ?? 'unnamed'}`)
    let position = resumed ? begin : 0
    await file.truncate(position)
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
      clearTimeout(timer)
      timer = setTimeout(() => abort.abort(), timeout)
      for (let done = 0; done < piece.length;)
        done += (await file.write(piece, done, piece.length - done, position + done)).bytesWritten
      position += piece.length
      onProgress?.(position)
    }
    if (size !== undefined && position < size)
      throw new Error(`the connection ended after ${position} of ${size} bytes`)
    await file.sync()
    return resumed
  } catch (cause) {
    if (abort.signal.aborted) throw new Error(`no byte came for ${timeout / 1000} s`)
    const inner = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : ''
    throw errorCode(cause) !== undefined || cause instanceof TryLater ? cause : new Error(`${reason(cause)}${inner}`)
  } finally {
    clearTimeout(timer)
    await file.close()
  }
}

/** Errors for good are ours; those that pass are thrown to be tried again. */
function refuse(url: string, { status, headers, statusText }: Response): void {
  if (status === 408 || status === 429 || status >= 500) throw new TryLater(status, headers.get('retry-after'))
  if (status >= 200 && status < 300) return
  const hints: Record<number, string> = {
    401: 'It needs a login: put a token into the environment variable HF_TOKEN.',
    403: 'The token has no right to it: accept the terms of the data set on its page, or use another token.',
    404: 'Check the name and the revision.',
  }
  throw new SptError('ERR_DATA', `${url}: the server answered ${status} ${statusText}`, { hint: hints[status] })
}

/** What is wrong with a file that arrived, if anything. */
async function difference(path: string, { size, checksum }: DownloadOptions): Promise<string | undefined> {
  const found = (await stat(path)).size
  if (size !== undefined && found !== size) return `expected ${size} bytes, got ${found}`
  if (checksum === undefined) return undefined
  const hash = createHash(checksum.length === 64 ? 'sha256' : 'sha1')
  if (checksum.length === 40) hash.update(`blob ${found}\0`)
  for await (const piece of createReadStream(path)) hash.update(piece as Uint8Array)
  const digest = hash.digest('hex')
  return digest === checksum.toLowerCase() ? undefined : `expected the checksum ${checksum}, got ${digest}`
}
