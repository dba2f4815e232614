/**
 * Data sets of the Hugging Face Hub as Parquet files on this machine: in a folder, in the hub's cache, or fetched into that
 * cache when it is asked for and never otherwise. The cache is laid out as huggingface_hub does, so that both share it.
 */
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, readdir, rm, symlink } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { SptError, dataMissing, reason } from '../errors.js'
import { hubCacheFolder, hubRepositoryFolder, hubSnapshotFolder } from '../interchange/hub-cache.js'
import { writeFileAtomically } from '../runs/atomic-file.js'
import { download, type DownloadOptions } from './download.js'
import { configurations, parquetFilesOf, type SplitChoice } from './hub-splits.js'

export interface HubOptions extends SplitChoice {
  /** `owner/name`. */
  readonly repository: string
  /** A branch, a tag or a commit; default: main. */
  readonly revision?: string | undefined
  /** Fetches what is missing. Without it, nothing goes to the network. */
  readonly download?: boolean | undefined
  /** The hub's cache; default: where huggingface_hub has it. */
  readonly cache?: string | undefined
  /** HF_ENDPOINT (the server), HF_TOKEN, HF_HUB_OFFLINE and what says where the cache is. */
  readonly environment?: NodeJS.ProcessEnv
  readonly network?: Pick<DownloadOptions, 'attempts' | 'delay' | 'timeout'>
  /** Told each file that is fetched. */
  readonly log?: (line: string) => void
}

/** The Parquet files of a split, in order. ERR_DATA where they are not all there, with the command that fetches them. */
export async function hubParquetFiles(options: HubOptions): Promise<string[]> {
  const { repository, revision = 'main', environment = process.env, cache = hubCacheFolder(environment) } = options
  const folder = hubRepositoryFolder(cache, 'dataset', repository)
  if (options.download === true && !isTrue(environment['HF_HUB_OFFLINE'])) {
    const snapshot = await fetchSplit(options, folder)
    return splitInFolder(snapshot, options)
  }
  const snapshot = hubSnapshotFolder(folder, revision)
  if (!existsSync(snapshot)) throw notCached(options, snapshot)
  const missing = (message: string) => new SptError('ERR_DATA', message, { hint: notCached(options, snapshot).hint })
  return splitInFolder(snapshot, options, missing)
}

/** The Parquet files of a split in a folder laid out as a repository of the hub, or one that simply holds them. */
export async function splitInFolder(
  folder: string,
  choice: SplitChoice,
  missing?: (message: string) => SptError,
): Promise<string[]> {
  const files = await filesBelow(folder)
  const readme = files.includes('README.md') ? await readFile(join(folder, 'README.md'), 'utf8') : undefined
  const chosen = parquetFilesOf(files, configurations(readme, folder), choice, folder)
  const gap = missingShard(chosen)
  if (gap !== undefined) {
    const message = `${folder}: ${gap} is not there, though others of its split are`
    throw missing?.(message) ?? new SptError('ERR_DATA', message)
  }
  return chosen.map((file) => join(folder, file))
}

/** Fetches the files of a split that the cache lacks; the snapshot's folder. */
async function fetchSplit(options: HubOptions, folder: string): Promise<string> {
  const { repository, revision = 'main', environment = process.env, network = {}, log } = options
  const endpoint = (environment['HF_ENDPOINT'] ?? 'https://huggingface.co').replace(/\/$/, '')
  const token = environment['HF_TOKEN']
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {}
  const get = async (url: string, path: string, more: DownloadOptions = {}) =>
    download(url, path, { ...network, headers, ...more })

  const listing = join(folder, `.listing-${process.pid}.json`)
  const listUrl = `${endpoint}/api/datasets/${repository}/revision/${encodeURIComponent(revision)}`
  await mkdir(folder, { recursive: true })
  let info: { sha: string; siblings: { rfilename: string }[] }
  try {
    await get(listUrl, listing)
    info = JSON.parse(await readFile(listing, 'utf8')) as typeof info
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new SptError('ERR_DATA', `${listUrl}: no JSON (${reason(cause)})`)
    throw cause
  } finally {
    await rm(listing, { force: true })
  }
  const names = info.siblings?.map(({ rfilename }) => rfilename) ?? []
  if (!/^[0-9a-f]{40}$/.test(info.sha ?? '') || names.some((name) => name.split(/[/\\]/).includes('..')))
    throw new SptError('ERR_DATA', `${listUrl}: the server's list of files makes no sense`)

  const snapshot = join(folder, 'snapshots', info.sha)
  const fetchFile = async (name: string): Promise<void> => {
    const target = join(snapshot, name)
    if (existsSync(target)) return
    const url = `${endpoint}/datasets/${repository}/resolve/${info.sha}/${name.split('/').map(encodeURIComponent).join('/')}`
    const { etag, size } = await describeFile(url, headers)
    const blob = join(folder, 'blobs', etag)
    if (!existsSync(blob)) {
      log?.(`fetching ${repository}: ${name}${size === undefined ? '' : ` (${(size / 1e6).toFixed(1)} MB)`}`)
      const checksum = /^([0-9a-f]{64}|[0-9a-f]{40})$/.test(etag) ? etag : undefined
      await get(url, blob, { size, checksum })
    }
    await mkdir(dirname(target), { recursive: true })
    // Where links are not allowed (Windows without rights) the file is copied.
    await symlink(relative(dirname(target), blob), target).catch(async (cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EEXIST') await copyFile(blob, target)
    })
  }
  if (names.includes('README.md')) await fetchFile('README.md')
  const readme = names.includes('README.md') ? await readFile(join(snapshot, 'README.md'), 'utf8') : undefined
  for (const name of parquetFilesOf(names, configurations(readme, repository), options, repository))
    await fetchFile(name)
  if (info.sha !== revision) await writeFileAtomically(join(folder, 'refs', revision), info.sha)
  return snapshot
}

/** What a file is called among the blobs, and its size, from the answer that redirects to where it is stored. */
async function describeFile(
  url: string,
  headers: Record<string, string>,
): Promise<{ etag: string; size: number | undefined }> {
  const ask = (at: string) =>
    fetch(at, { method: 'HEAD', headers: { ...headers, 'Accept-Encoding': 'identity' }, redirect: 'manual' })
  let answer: Response
  try {
    answer = await ask(url).catch(() => ask(url))
    // Small files are on the hub itself under another path; large ones elsewhere, and the hub says what they are.
    for (let hops = 0; hops < 3 && !answer.headers.has('x-linked-etag'); hops++) {
      const location = answer.headers.get('location')
      if (answer.status < 300 || answer.status >= 400 || location === null) break
      const next = new URL(location, url)
      if (next.origin !== new URL(url).origin) break
      answer = await ask(next.href)
    }
  } catch (cause) {
    throw new SptError('ERR_DATA', `${url}: could not be fetched (${reason(cause)})`, { cause })
  }
  if (answer.status >= 400) {
    const hint =
      answer.status === 401 || answer.status === 403 ? 'Set HF_TOKEN to a token that may read it.' : undefined
    throw new SptError('ERR_DATA', `${url}: the server answered ${answer.status} ${answer.statusText}`, { hint })
  }
  const etag = (answer.headers.get('x-linked-etag') ?? answer.headers.get('etag') ?? '')
    .replace(/^W\//, '')
    .replaceAll('"', '')
  if (!/^[\w-]{8,128}$/.test(etag))
    throw new SptError('ERR_DATA', `${url}: the server names no version of the file (ETag)`)
  const redirected = answer.status >= 300
  const size = answer.headers.get('x-linked-size') ?? (redirected ? null : answer.headers.get('content-length'))
  return { etag, size: size === null ? undefined : Number(size) }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch((cause: unknown) => {
    throw dataMissing(folder, `folder (${reason(cause)})`)
  })
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/** Of names such as `train-00003-of-00010.parquet`, one that is lacking. */
function missingShard(files: readonly string[]): string | undefined {
  const known = new Set(files)
  for (const file of files) {
    const [, before = '', , of = '', after = ''] = /^(.*-)(\d{5})-of-(\d{5})(.*)$/.exec(file) ?? []
    for (let number = 0; number < Number(of); number++) {
      const name = `${before}${`${number}`.padStart(5, '0')}-of-${of}${after}`
      if (!known.has(name)) return name
    }
  }
  return undefined
}

function notCached({ repository, revision = 'main' }: HubOptions, snapshot: string): SptError {
  const at = revision === 'main' ? '' : ` --revision ${revision}`
  return dataMissing(
    snapshot,
    `folder: ${repository} is not in the cache of the Hugging Face Hub`,
    `Fetch it with download: true, or once with: hf download ${repository} --repo-type dataset${at}; HF_HOME or HF_HUB_CACHE say where the cache is.`,
  )
}

const isTrue = (value: string | undefined) => /^(1|on|yes|true)$/i.test(value ?? '')
