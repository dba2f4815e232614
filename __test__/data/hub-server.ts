/** A server that speaks as much of the Hugging Face Hub as a client that fetches data sets needs, and can be made to fail. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll } from 'vitest'

export interface Trouble {
  /** Answers with this status, so many times. */
  status?: number
  times?: number
  retryAfter?: string
  /** Breaks the connection after so many bytes of a file, so many times. */
  breakAfter?: number
  /** Sends other bytes than the checksum is of. */
  corrupt?: boolean
  /** Does not know the header Range. */
  noRange?: boolean
}

export const commit = 'a'.repeat(40)

export interface HubServer {
  url: string
  /** "GET /path range" of each request. */
  requests: string[]
  headers: IncomingMessage['headers'][]
  trouble: Trouble
}

/** Serves `files` as the data set `owner/flowers`; large files are stored elsewhere, as on the hub. */
export async function hubServer(files: Record<string, Uint8Array>): Promise<HubServer> {
  const hub: HubServer = { url: '', requests: [], headers: [], trouble: {} }
  const server = createServer((request, response) => answer(hub, files, request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  hub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  return hub
}

function answer(
  hub: HubServer,
  files: Record<string, Uint8Array>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const path = decodeURIComponent(request.url ?? '')
  hub.requests.push(
    `${request.method} ${path}${request.headers.range === undefined ? '' : ` ${request.headers.range}`}`,
  )
  hub.headers.push(request.headers)
  const { trouble } = hub
  if (trouble.status !== undefined && (trouble.times ?? Infinity) > 0) {
    trouble.times = (trouble.times ?? Infinity) - 1
    response
      .writeHead(trouble.status, trouble.retryAfter === undefined ? {} : { 'retry-after': trouble.retryAfter })
      .end()
    return
  }
  if (path.startsWith('/api/datasets/owner/flowers/revision/')) {
    const siblings = Object.keys(files).map((rfilename) => ({ rfilename }))
    response.end(JSON.stringify({ sha: commit, siblings }))
    return
  }
  const name = path
    .replace(`/datasets/owner/flowers/resolve/${commit}/`, '')
    .replace('/storage/', '')
    .replace('/api/resolve-cache/', '')
  const bytes = files[name]
  if (bytes === undefined) {
    response.writeHead(404).end()
    return
  }
  const digest = createHash('sha256').update(bytes).digest('hex')
  if (name.endsWith('.parquet') && !path.startsWith('/storage/')) {
    // Storage is another host; a token must not go there.
    const location = `${hub.url.replace('127.0.0.1', 'localhost')}/storage/${name}`
    response.writeHead(302, { location, 'x-linked-etag': `"${digest}"`, 'x-linked-size': bytes.length }).end()
    return
  }
  if (path.startsWith('/datasets/')) {
    response.writeHead(307, { location: `/api/resolve-cache/${name}` }).end()
    return
  }
  send(hub, bytes, request, response)
}

function send({ trouble }: HubServer, bytes: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
  const blob = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  const begin = trouble.noRange === true ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (begin >= bytes.length) {
    response.writeHead(416).end()
    return
  }
  const rest = Uint8Array.from(bytes.subarray(begin))
  if (trouble.corrupt === true) rest[rest.length - 1]! ^= 1
  const range = begin > 0 ? { 'content-range': `bytes ${begin}-${bytes.length - 1}/${bytes.length}` } : {}
  response.writeHead(begin > 0 ? 206 : 200, { etag: `"${blob}"`, 'content-length': rest.length, ...range })
  if (request.method === 'HEAD') response.end()
  else if (trouble.breakAfter !== undefined && (trouble.times ?? 0) > 0) {
    trouble.times = (trouble.times ?? 0) - 1
    response.write(rest.subarray(0, trouble.breakAfter), () => setTimeout(() => response.destroy(), 20))
  } else response.end(rest)
}
