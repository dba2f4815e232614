/** Data sets of the Hugging Face Hub: the local cache's layout, fetching from a server on this machine, the choice of a split. */
import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { configurations, globMatches, parquetFilesOf } from '../../src/data/hub-splits.js'
import { hubParquetFiles, splitInFolder } from '../../src/data/hub.js'
import { ParquetDataset } from '../../src/data/parquet.js'
import { fixture, temporaryFolder } from './fixtures.js'
import { commit, hubServer } from './hub-server.js'

const parquet = await readFile(fixture('containers', 'hub.parquet'))
const readme =
  '---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n  - split: test\n    path: data/test-*\n---\n# Flowers\n'
const hub = await hubServer({
  'README.md': new TextEncoder().encode(readme),
  'data/train-00000-of-00002.parquet': parquet,
  'data/train-00001-of-00002.parquet': await readFile(fixture('containers', 'version-2.parquet')),
  'data/test-00000-of-00001.parquet': await readFile(fixture('containers', 'none.parquet')),
})
const folder = await temporaryFolder()
const cache = join(folder, 'hub')
const environment = { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache }
const options = { repository: 'owner/flowers', environment, network: { delay: 5 } }

beforeEach(async () => {
  await rm(cache, { recursive: true, force: true })
  hub.requests.length = 0
  hub.headers.length = 0
  hub.trouble = {}
})

describe('fetching', () => {
  test('is never done unasked, and never where HF_HUB_OFFLINE is set', async () => {
    await expect(hubParquetFiles(options)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('owner/flowers is not in the cache'),
      hint: expect.stringMatching(/download: true.*hf download owner\/flowers --repo-type dataset/),
    })
    const offline = { ...options, download: true, environment: { ...environment, HF_HUB_OFFLINE: '1' } }
    await expect(hubParquetFiles(offline)).rejects.toMatchObject({ code: 'ERR_DATA' })
    expect(hub.requests).toEqual([])
  })

  test('fetches the split, checks it, and lays it out as huggingface_hub does', async () => {
    hub.trouble = { breakAfter: 20_000, times: 3 }
    const files = await hubParquetFiles({ ...options, download: true })
    const repository = join(cache, 'datasets--owner--flowers')
    const snapshot = join(repository, 'snapshots', commit)
    expect(files).toEqual(['00000', '00001'].map((n) => join(snapshot, `data/train-${n}-of-00002.parquet`)))
    expect(await readFile(join(repository, 'refs', 'main'), 'utf8')).toBe(commit)
    expect(await readlink(files[0] as string)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/)
    expect(await readFile(files[0] as string)).toEqual(parquet)
    expect((await readdir(join(repository, 'blobs'))).filter((name) => name.includes('incomplete'))).toEqual([])
    expect(hub.requests.some((request) => request.includes('data/test-'))).toBe(false)
    expect((await ParquetDataset.open({ files })).length).toBe(12)

    // From now on the network is not needed; another split is.
    hub.requests.length = 0
    expect(await hubParquetFiles(options)).toEqual(files)
    expect(hub.requests).toEqual([])
    await expect(hubParquetFiles({ ...options, split: 'test' })).rejects.toMatchObject({ code: 'ERR_DATA' })
    const [test] = await hubParquetFiles({ ...options, split: 'test', download: true })
    expect(test).toContain('data/test-00000-of-00001.parquet')
    expect(hub.requests.filter((request) => request.includes('train-'))).toEqual([])
  })

  test('a token goes to the hub only', async () => {
    await hubParquetFiles({ ...options, download: true, environment: { ...environment, HF_TOKEN: 'secret' } })
    const sent = hub.requests.map((request, i) => [request.includes('/storage/'), hub.headers[i]?.authorization])
    expect(sent.filter(([storage]) => storage === true).length).toBeGreaterThan(1)
    expect(sent.every(([storage, token]) => token === (storage === true ? undefined : 'Bearer secret'))).toBe(true)
  })

  test('bytes that do not match their checksum are refused', async () => {
    hub.trouble = { corrupt: true }
    await expect(hubParquetFiles({ ...options, download: true })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('checksum'),
    })
    expect(existsSync(join(cache, 'datasets--owner--flowers', 'refs', 'main'))).toBe(false)
  })

  test('a repository that is not there', async () => {
    await expect(hubParquetFiles({ ...options, repository: 'owner/gone', download: true })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('answered 404'),
    })
  })

  test('a cache that lacks one shard says which', async () => {
    const [first = ''] = await hubParquetFiles({ ...options, download: true })
    await rm(first)
    await expect(hubParquetFiles(options)).rejects.toMatchObject({
      message: expect.stringContaining('train-00000-of-00002.parquet is not there'),
      hint: expect.stringContaining('download: true'),
    })
  })
})

test('a folder of shards, with and without a README', async () => {
  const plain = join(folder, 'plain')
  await mkdir(plain)
  for (const name of ['train-00000-of-00001.parquet', 'test-00000-of-00001.parquet'])
    await cp(fixture('containers', 'none.parquet'), join(plain, name))
  expect(await splitInFolder(plain, { split: 'test' })).toEqual([join(plain, 'test-00000-of-00001.parquet')])
  await writeFile(join(plain, 'README.md'), '---\nconfigs:\n- config_name: a\n  data_files: test-*\n---\n')
  expect(await splitInFolder(plain, {})).toEqual([join(plain, 'test-00000-of-00001.parquet')])
  await expect(splitInFolder(dirname(plain), { split: 'dev' })).rejects.toMatchObject({
    hint: expect.stringMatching(/train|test/),
  })
})

describe('the choice of a split', () => {
  const choose = (files: string[], choice = {}, text?: string) =>
    parquetFilesOf(files, configurations(text, 'here'), choice, 'here')

  test.each([
    [
      ['data/train-00000-of-00001.parquet', 'data/validation-00000-of-00001.parquet'],
      'validation',
      ['data/validation-00000-of-00001.parquet'],
    ],
    [['default/train/0000.parquet', 'default/test/0000.parquet'], 'test', ['default/test/0000.parquet']],
    [['a.parquet', 'b.parquet', 'notes.txt'], 'train', ['a.parquet', 'b.parquet']],
    [['trainer.parquet', 'my_train.parquet'], 'train', ['my_train.parquet']],
  ])('%j: %s', (files, split, chosen) => {
    expect(choose(files, { split })).toEqual(chosen)
  })

  test('several configurations want a name', () => {
    const files = ['small/train-0.parquet', 'large/train-0.parquet']
    expect(() => choose(files)).toThrow('several configurations')
    expect(choose(files, { configuration: 'large' })).toEqual(['large/train-0.parquet'])
    expect(() => choose(files, { configuration: 'huge' })).toThrow('no configuration "huge"')
    const declared =
      '---\nconfigs:\n- config_name: s\n  data_files: {split: train, path: small/**}\n- config_name: l\n  default: true\n  data_files: [{split: train, path: [large/*]}]\n---'
    expect(choose(files, {}, declared)).toEqual(['large/train-0.parquet'])
    expect(choose(files, { configuration: 's' }, declared)).toEqual(['small/train-0.parquet'])
    expect(() => choose(files, { split: 'test' }, declared)).toThrow('no split "test"')
  })

  test('no Parquet at all, a README that is no YAML', () => {
    expect(() => choose(['a.zip'])).toThrow('no Parquet files')
    expect(() => configurations('---\n[: {\n---', 'here')).toThrow('no YAML')
  })

  test('patterns', () => {
    expect(globMatches('data/train-*', 'data/train-0.parquet')).toBe(true)
    expect(globMatches('data/*', 'data/x/y')).toBe(false)
    expect(globMatches('**/*.parquet', 'y.parquet')).toBe(true)
    expect(globMatches('**/*.parquet', 'a/b/y.parquet')).toBe(true)
    expect(globMatches('a?c.+', 'abc.+')).toBe(true)
    expect(globMatches('a.c', 'abc')).toBe(false)
  })
})
