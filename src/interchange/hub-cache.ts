/**
 * Where the Hugging Face cache of this machine is, and what it holds of a repository, by the rules of huggingface_hub:
 * `<kind>s--owner--name/refs/<revision>` names the commit whose files are in `snapshots/<commit>`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** The cache's folder: HF_HUB_CACHE, else `hub` in HF_HOME, else in XDG_CACHE_HOME or ~/.cache. */
export function hubCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = environment
  const direct = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE
  if (direct) return resolve(fromHome(direct))
  return join(resolve(fromHome(HF_HOME || join(XDG_CACHE_HOME || '~/.cache', 'huggingface'))), 'hub')
}

/** The folder of a repository in a cache. */
export function hubRepositoryFolder(cache: string, kind: 'model' | 'dataset', name: string): string {
  return join(cache, `${kind}s--${name.replaceAll('/', '--')}`)
}

/** The folder of the files of a revision (a branch, a tag or a commit), whether it exists or not. */
export function hubSnapshotFolder(repository: string, revision: string): string {
  const ref = join(repository, 'refs', revision)
  const commit = existsSync(ref) ? readFileSync(ref, 'utf8').trim() : revision
  return join(repository, 'snapshots', commit)
}

/** A path whose `~` is the home folder. */
export function fromHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}
