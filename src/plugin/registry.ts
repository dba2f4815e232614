/**
 * The plugins that can be named: built-in ones, read from the folder beside this package's sources, and third parties'.
 * No list of names is kept anywhere; a file in the right folder is enough.
 */
import { existsSync, readdirSync } from 'node:fs'
import { basename, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { looseName } from '../config/names.js'
import { suggest } from '../config/suggest.js'
import {
  SptError,
  pluginAmbiguous,
  pluginLoadFailed,
  pluginMalformed,
  pluginOfOtherKind,
  pluginUnknown,
} from '../errors.js'
import { isDefinition, kinds, type Definition, type Kind } from './define.js'
import { importModule, importPlugin, isPath } from './load.js'

export interface Entry {
  readonly definition: Definition
  /** `built-in`, a package's name, or a file's path. */
  readonly origin: string
  /** The file that exports it. */
  readonly file: string
}

export interface Registry {
  readonly entries: readonly Entry[]
  /** By name, alias, `package/name`, path or Hydra target. Raises ERR_PLUGIN with the nearest known name. */
  find<K extends Kind>(kind: K, name: string): Definition<K>
}

const builtInFolder = fileURLToPath(new URL('../../plugins/', import.meta.url))
const extension = extname(fileURLToPath(import.meta.url))

/** Loads every built-in plugin and the third-party ones asked for. `folders`: where those are looked for, in order. */
export async function loadRegistry(
  thirdParty: readonly string[] = [],
  folders: readonly string[] = [process.cwd()],
): Promise<Registry> {
  const builtIn = await Promise.all((Object.keys(kinds) as Kind[]).map(readBuiltIn))
  const others = await Promise.all(
    [...new Set(thirdParty)].map(async (name) => {
      const { file, exported } = await importPlugin(name, folders)
      return entriesOf(exported, name, file, isPath(name) ? file : name)
    }),
  )
  return registryOf([...builtIn.flat(), ...others.flat()], folders[0] ?? process.cwd())
}

/** A registry of given entries; `folder` is where relative paths start. */
export function registryOf(entries: readonly Entry[], folder: string): Registry {
  return {
    entries,
    find<K extends Kind>(kind: K, name: string): Definition<K> {
      const ofKind = entries.filter(({ definition }) => definition.kind === kind)
      const file = isPath(name) ? resolve(folder, name) : undefined
      const found = ofKind.filter((entry) => (file === undefined ? answersTo(entry, name) : entry.file === file))
      if (found.length > 1)
        throw pluginAmbiguous(
          kind,
          name,
          found.map(({ origin }) => origin),
        )
      if (found[0] !== undefined) return found[0].definition as Definition<K>

      const elsewhere = entries.find((entry) => (file === undefined ? answersTo(entry, name) : entry.file === file))
      if (elsewhere !== undefined) throw pluginOfOtherKind(kind, name, elsewhere.definition.kind)
      const names = ofKind.map(({ definition }) => definition.name).toSorted()
      throw pluginUnknown(kind, name, suggest(name, names), names)
    },
  }
}

function answersTo({ definition, origin }: Entry, name: string): boolean {
  const asked = looseName(name)
  return (
    [definition.name, ...(definition.aliases ?? [])].some(
      (own) => looseName(own) === asked || `${origin}/${own}` === name,
    ) || (definition.targets ?? []).includes(name)
  )
}

async function readBuiltIn(kind: Kind): Promise<Entry[]> {
  const folder = join(builtInFolder, kinds[kind])
  if (!existsSync(folder)) return []
  const files = readdirSync(folder).filter((file) => file.endsWith(extension) && !file.endsWith('.d.ts'))
  const entries = await Promise.all(
    files.map(async (name) => {
      const file = join(folder, name)
      const exported = await importModule(file).catch((cause: unknown) => {
        throw cause instanceof SptError ? cause : pluginLoadFailed(basename(name, extension), file, cause)
      })
      return entriesOf((exported as { default?: unknown }).default, basename(name, extension), file, 'built-in')
    }),
  )
  return entries.flat()
}

function entriesOf(exported: unknown, name: string, file: string, origin: string): Entry[] {
  if (exported === undefined) throw pluginMalformed(name, file, 'exports nothing by default')
  const definitions: unknown[] = Array.isArray(exported) ? exported : [exported]
  return definitions.map((definition) => {
    if (!isDefinition(definition))
      throw pluginMalformed(name, file, 'exports by default something that is no definition')
    return { definition, origin, file }
  })
}
