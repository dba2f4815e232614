/** Fetching a file from a server on this machine that breaks off, refuses, asks to wait and sends wrong bytes. */
import { createHash } from 'node:crypto'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { download } from '../../src/data/download.js'
import { temporaryFolder } from './fixtures.js'
import { hubServer } from './hub-server.js'

const content = Uint8Array.from({ length: 200_000 }, (_, i) => (i * i * 31) % 251)
const checksum = createHash('sha256').update(content).digest('hex')
const hub = await hubServer({ 'data.bin': content })
const url = `${hub.url}/storage/data.bin`
const folder = await temporaryFolder()
const quick = { delay: 5, checksum, size: content.length }
let number = 0
const target = () => join(folder, `file-${number++}.bin`)

beforeEach(() => {
  hub.trouble = {}
  hub.requests.length = 0
})

async function failing(path: string, options: Parameters<typeof download>[2], from = url) {
  const error = await download(from, path, options).catch((reason: unknown) => reason)
  return error as { code: string; message: string; hint: string }
}

test('a whole file, with progress', async () => {
  const path = target()
  let last = 0
  await download(url, path, { ...quick, onProgress: (bytes) => (last = bytes) })
  expect(new Uint8Array(await readFile(path))).toEqual(content)
  expect(last).toBe(content.length)
  expect(await readdir(folder)).toEqual([path.split('/').at(-1)])
})

test('a connection that breaks is gone on with from where it broke', async () => {
  const path = target()
  hub.trouble = { breakAfter: 60_000, times: 2 }
  await download(url, path, quick)
  expect(new Uint8Array(await readFile(path))).toEqual(content)
  expect(hub.requests).toHaveLength(3)
  expect(hub.requests[1]).toMatch(/bytes=[1-9]\d*-$/)
})

test('what another process left is gone on with; a server without ranges starts again', async () => {
  for (const noRange of [false, true]) {
    const path = target()
    await writeFile(`${path}.incomplete`, content.subarray(0, 150_000))
    hub.trouble = { noRange }
    await download(url, path, quick)
    expect(new Uint8Array(await readFile(path))).toEqual(content)
  }
})

test('a partial file of another version is thrown away', async () => {
  const path = target()
  await writeFile(`${path}.incomplete`, new Uint8Array(1000))
  await download(url, path, quick)
  expect(new Uint8Array(await readFile(path))).toEqual(content)
})

test('errors of the server that pass are waited for', async () => {
  const path = target()
  hub.trouble = { status: 503, times: 2 }
  await download(url, path, quick)
  hub.trouble = { status: 429, times: 1, retryAfter: '0.2' }
  const began = performance.now()
  await download(url, target(), quick)
  expect(performance.now() - began).toBeGreaterThan(190)
})

test('attempts that are used up, and what arrived is kept', async () => {
  const path = target()
  hub.trouble = { breakAfter: 50_000, times: 100 }
  const { code, message, hint } = await failing(path, { ...quick, attempts: 2 })
  expect({ code, message }).toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining('in 2 attempts') })
  expect(hint).toContain('kept')
  expect((await readFile(`${path}.incomplete`)).length).toBeGreaterThan(0)
})

test.each([
  [401, 'HF_TOKEN'],
  [403, 'terms'],
  [404, 'name and the revision'],
])('status %i is final', async (status, advice) => {
  hub.trouble = { status }
  const { code, message, hint } = await failing(target(), quick)
  expect({ code, message, hint }).toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining(`answered ${status}`),
    hint: expect.stringContaining(advice),
  })
  expect(hub.requests).toHaveLength(1)
})

test('wrong bytes and a wrong size are refused, and nothing is left', async () => {
  const path = target()
  hub.trouble = { corrupt: true }
  expect(await failing(path, quick)).toMatchObject({ code: 'ERR_DATA', message: expect.stringContaining('checksum') })
  hub.trouble = {}
  expect(await failing(path, { delay: 5, size: 10 })).toMatchObject({
    message: expect.stringContaining('expected 10 bytes'),
  })
  expect((await readdir(folder)).filter((name) => name.startsWith(path.split('/').at(-1) ?? ''))).toEqual([])
})

test('a server that is not there, one that says nothing', async () => {
  expect(await failing(target(), { delay: 1, attempts: 2 }, 'http://127.0.0.1:9/x')).toMatchObject({ code: 'ERR_DATA' })
  const { createServer } = await import('node:http')
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as { port: number }
  const late = await failing(target(), { delay: 1, attempts: 1, timeout: 100 }, `http://127.0.0.1:${port}/x`)
  expect(late.message).toContain('no byte came')
  silent.closeAllConnections()
  silent.close()
})
