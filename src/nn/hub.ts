/**
 * Where weights lie on this machine: a file, a folder, or a name in the local Hugging Face cache.
 * It never goes to the network: what is not there is refused with the command that fetches it.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { checkpointCorrupt, checkpointMissing, reason } from '../errors.js'
import { fromHome, hubCacheFolder, hubRepositoryFolder, hubSnapshotFolder } from '../interchange/hub-cache.js'

export interface WhereToLook {
  /** Relative paths are taken from here; the working directory by default. */
  root?: string | undefined
  /** Variables that say where the cache is: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME. */
  environment?: NodeJS.ProcessEnv
}

/**
 * The safetensors files that `source` means: `weights.safetensors`, a folder that holds `model.safetensors`, or a hub name
 * such as `timm/resnet18.a1_in1k` (a revision may follow an `@`). Several where the model is stored in parts.
 *
 * @throws ERR_CHECKPOINT saying where it looked and how to put the file there.
 */
export function locateWeights(source: string, { root = process.cwd(), environment = process.env }: WhereToLook = {}) {
  const path = resolve(root, fromHome(source))
  if (existsSync(path)) return statSync(path).isDirectory() ? filesIn(path, source) : [path]
  const hub = /^(?:hf[-_]hub:)?([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/.exec(source)
  if (looksLikePath(source) || hub === null) {
    throw checkpointMissing(
      path,
      'Give the path of a safetensors file, or the name of a model in the Hugging Face cache such as timm/resnet18.a1_in1k.',
    )
  }
  return cached(hub[1] ?? '', hub[2] ?? 'main', hubCacheFolder(environment))
}

function cached(name: string, revision: string, cache: string): string[] {
  const folder = hubRepositoryFolder(cache, 'model', name)
  const snapshot = hubSnapshotFolder(folder, revision)
  if (existsSync(snapshot)) return filesIn(snapshot, name)
  const only = readFolder(join(folder, 'snapshots'))
  const at = revision === 'main' ? '' : ` --revision ${revision}`
  throw checkpointMissing(
    `${name}${revision === 'main' ? '' : `@${revision}`}`,
    `Looked for ${join(snapshot, 'model.safetensors')}` +
      (only.length > 0 ? ` (there are the revisions ${only.join(', ')})` : '') +
      `. Fetch it once with: hf download ${name} model.safetensors${at}` +
      `; HF_HOME or HF_HUB_CACHE say where the cache is. Or give the path of a safetensors file.`,
  )
}

function filesIn(folder: string, source: string): string[] {
  const whole = join(folder, 'model.safetensors')
  if (existsSync(whole)) return [whole]
  const index = join(folder, 'model.safetensors.index.json')
  if (existsSync(index)) return partsOf(index).map((part) => join(folder, part))
  throw checkpointMissing(
    whole,
    `For "${source}" there is ${readFolder(folder).join(', ') || 'nothing'}. A PyTorch file becomes one by: ` +
      `safetensors.torch.save_file(torch.load("pytorch_model.bin", weights_only=True), "model.safetensors")`,
  )
}

/** The files of a model in parts, each once. */
function partsOf(index: string): string[] {
  try {
    const { weight_map: map } = JSON.parse(readFileSync(index, 'utf8')) as { weight_map: Record<string, string> }
    return [...new Set(Object.values(map))]
  } catch (cause) {
    throw checkpointCorrupt(index, `is no index of safetensors files (${reason(cause)})`)
  }
}

function looksLikePath(source: string): boolean {
  return isAbsolute(source) || /^[.~]|\.(safetensors|ckpt|pth?|bin)$/.test(source)
}

function readFolder(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).toSorted() : []
}
