/**
 * Imports a plugin's module, wherever it lies and whether it is TypeScript or JavaScript.
 * It does not know what a definition is; see `registry.ts`.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Jiti } from 'jiti'
import { SptError, pluginFileMissing, pluginLoadFailed, pluginNotInstalled } from '../errors.js'

// Under the test runner and tsx these files run as TypeScript, in the package as JavaScript.
const extension = extname(fileURLToPath(import.meta.url))
const ownModule = (name: string) => fileURLToPath(new URL(`../${name}${extension}`, import.meta.url))

let jiti: Promise<Jiti> | undefined

/** Loaded when a plugin needs it: most runs name built-in ones only. */
function loadJiti(): Promise<Jiti> {
  jiti ??= import('jiti').then(({ createJiti }) =>
    createJiti(import.meta.url, {
      // A plugin in a folder that has no `stable-pretraining` of its own is given this very copy of it, and of its zod.
      alias: {
        'stable-pretraining/testing': ownModule('testing/index'),
        'stable-pretraining': ownModule('index'),
        zod: createRequire(import.meta.url)
          .resolve('zod')
          .replace(/\.cjs$/, '.js'),
      },
      interopDefault: false,
    }),
  )
  return jiti
}

/** Whether a plugin's name is a path: `./mine.ts`, `../mine.js`, `/home/me/mine.mjs`. */
export function isPath(name: string): boolean {
  return /^\.{1,2}[/\\]/.test(name) || isAbsolute(name)
}

/** What a plugin file exports by default. `folders`: where a relative path or a package's name is looked for, in order. */
export async function importPlugin(
  name: string,
  folders: readonly string[],
): Promise<{ file: string; exported: unknown }> {
  const file = isPath(name) ? locatePath(name, folders) : await locatePackage(name, folders)
  try {
    return { file, exported: ((await importModule(file)) as { default?: unknown }).default }
  } catch (cause) {
    throw cause instanceof SptError ? cause : pluginLoadFailed(name, file, cause)
  }
}

/** A module by its absolute path. */
export async function importModule(file: string): Promise<unknown> {
  try {
    return await import(/* @vite-ignore */ pathToFileURL(file).href)
  } catch (cause) {
    if (!neededJiti(cause)) throw cause
    return (await loadJiti()).import(file)
  }
}

/** Node of its own cannot import TypeScript before 22.18, nor this package from a folder where it is not installed. */
function neededJiti(cause: unknown): boolean {
  const { code, message } = cause as NodeJS.ErrnoException
  return (
    code === 'ERR_UNKNOWN_FILE_EXTENSION' ||
    code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX' ||
    code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING' ||
    (code === 'ERR_MODULE_NOT_FOUND' && /'(stable-pretraining(\/testing)?|zod)'/.test(message))
  )
}

function locatePath(name: string, folders: readonly string[]): string {
  const file = resolve(folders[0] ?? '.', name)
  if (existsSync(file)) return file
  throw pluginFileMissing(name, file)
}

async function locatePackage(name: string, folders: readonly string[]): Promise<string> {
  const jiti = await loadJiti()
  for (const folder of folders) {
    const parentURL = pathToFileURL(join(folder, 'package.json'))
    const found = jiti.esmResolve(name, { parentURL, try: true, conditions: ['node', 'import'] })
    if (found !== undefined) return fileURLToPath(found)
  }
  throw pluginNotInstalled(name, folders)
}
