/** The house's rules as tests: who may import whom, what files are called, how long they may grow. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { kinds } from '../src/plugin/define.js'
import { loadRegistry } from '../src/plugin/registry.js'

const root = resolve(import.meta.dirname, '..')

/** Rooms of src from the ground up: a room imports from rooms below it, and from itself. */
const storeys = [
  ['errors'],
  ['config', 'runs', 'native'],
  ['tensor'],
  ['interchange'],
  ['nn', 'losses', 'metrics', 'optim', 'data', 'onnx'],
  ['plugin'],
  ['train'],
  ['app'],
  ['index'],
  ['testing', 'cli'],
]

/** Rooms of one storey that know of each other. */
const neighbours: Record<string, readonly string[]> = {
  losses: ['nn'],
  metrics: ['nn'],
  optim: ['nn'],
  onnx: ['nn'],
}

const sources = filesUnder('src').filter((path) => !path.startsWith('src/binding/'))
const plugins = filesUnder('plugins')
const everything = [...sources, ...plugins, ...['__test__', 'examples', 'scripts', 'benchmarks'].flatMap(filesUnder)]

describe('arrows', () => {
  test('a room imports from rooms below it only', () => {
    const wrong = sources.flatMap((path) =>
      importsOf(path)
        .filter((name) => name.startsWith('.'))
        .map((name) => roomOf(relative(root, resolve(root, dirname(path), name))))
        .filter((room) => !mayImport(roomOf(path), room))
        .map((room) => `${path} → ${room}`),
    )
    expect(wrong).toEqual([])
  })

  test('every room has its storey', () => {
    expect([...new Set(sources.map(roomOf))].filter((room) => !storeys.flat().includes(room))).toEqual([])
  })

  test.each([
    ['tsyringe', ['src/app/container.ts']],
    ['reflect-metadata', ['src/app/container.ts']],
    ['#binding', ['src/native.ts']],
    ['commander', ['src/cli/program.ts']],
  ])('%s is imported by %s only', (name, allowed) => {
    expect(everything.filter((path) => importsOf(path).includes(name) && !allowed.includes(path))).toEqual([])
  })

  test('plugins import this package by its name, so that any can be copied out and published', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object }
    const allowed = ['stable-pretraining', ...Object.keys(dependencies)]
    const wrong = plugins.flatMap((path) =>
      importsOf(path)
        .filter((name) => !name.startsWith('node:') && !allowed.includes(name) && !staysInside(path, name))
        .map((name) => `${path} → ${name}`),
    )
    expect(wrong).toEqual([])
  })

  test('src names no plugin', async () => {
    const { entries } = await loadRegistry()
    const kindsNamed = ['method', 'backbone', 'callback', 'logger', 'dataset']
    const names = entries
      .filter(({ definition }) => kindsNamed.includes(definition.kind))
      .map(({ definition }) => definition.name)
    const wrong = sources.flatMap((path) => {
      const code = withoutComments(readFileSync(join(root, path), 'utf8'))
      return names
        .filter((name) => code.includes(`type: '${name}'`) || code.includes(`(['${name}'`))
        .map((name) => `${path}: ${name}`)
    })
    expect([...wrong, ...sources.filter((path) => importsOf(path).some((name) => name.includes('plugins/')))]).toEqual(
      [],
    )
  })
})

describe('plugins', () => {
  test('a built-in plugin is named as its file', async () => {
    const { entries } = await loadRegistry()
    const wrong = entries.filter(({ definition, file }) => {
      const name = basename(file, '.ts')
      return (
        ![definition.name, ...(definition.aliases ?? [])].some((own) => loose(own) === loose(name)) &&
        !sharesFile(entries, file)
      )
    })
    expect(wrong.map(({ file }) => relative(root, file))).toEqual([])
    expect(
      entries
        .filter(({ definition, file }) => basename(dirname(file)) !== kinds[definition.kind])
        .map(({ file }) => file),
    ).toEqual([])
  })

  test('a plugin says what it is in one sentence, and so does each of its options', async () => {
    const { entries } = await loadRegistry()
    const silent = entries.flatMap(({ definition: { kind, name, description, config } }) => [
      ...(description.trim() === '' ? [`${kind} ${name}`] : []),
      ...Object.entries(config.shape)
        .filter(([, field]) => described(field) === undefined)
        .map(([option]) => `${kind} ${name}: ${option}`),
    ])
    expect(silent).toEqual([])
  })
})

describe('files', () => {
  test('names are kebab-case', () => {
    const wrong = everything.filter(
      (path) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config|\.bench)?\.ts$/.test(basename(path)),
    )
    expect(wrong).toEqual([])
  })

  test('names say something', () => {
    const empty = /^(utils?|helpers?|common|base|misc|shared)\.ts$/
    expect(everything.filter((path) => empty.test(basename(path)))).toEqual([])
  })

  test('a file begins with what it is', () => {
    const wrong = [...sources, ...plugins].filter(
      (path) => !/^(#!.*\n)?\/\*\*/.test(readFileSync(join(root, path), 'utf8')),
    )
    expect(wrong).toEqual([])
  })

  test.each([
    ['any file', 400, everything],
    ['a plugin', 150, plugins],
    ['the trainer', 250, ['src/train/trainer.ts']],
    ['the container', 60, ['src/app/container.ts']],
  ])('%s stays within %i lines', (_, limit, paths) => {
    const lines = (path: string) =>
      existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8').trimEnd().split('\n').length : 0
    expect(paths.filter((path) => lines(path) > limit).map((path) => `${path}: ${lines(path)}`)).toEqual([])
  })

  test('nothing is left for later', () => {
    const marks = new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX'].join(''))
    expect([...sources, ...plugins].filter((path) => marks.test(readFileSync(join(root, path), 'utf8')))).toEqual([])
  })
})

function filesUnder(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !path.includes('/dist/') && !path.endsWith('.d.ts'))
    .toSorted()
}

function importsOf(path: string): string[] {
  const code = withoutComments(readFileSync(join(root, path), 'utf8'))
  const found = code.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*'([^']+)'|(?:^|\n)import\s+'([^']+)'|\bimport\(\s*'([^']+)'/g,
  )
  return [...found].map((match) => (match[1] ?? match[2] ?? match[3])!)
}

function withoutComments(code: string): string {
  return code.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1')
}

/** `src/nn/linear.ts` → `nn`, `src/errors.js` → `errors`. */
function roomOf(path: string): string {
  const [, room = ''] = path.split(/[/\\]/)
  return room.replace(/\.[jt]s$/, '')
}

function mayImport(from: string, to: string): boolean {
  const storey = (room: string) => storeys.findIndex((rooms) => rooms.includes(room))
  return from === to || storey(to) < storey(from) || (neighbours[from] ?? []).includes(to)
}

/** A plugin may have a folder of its own name for what it is made of. */
function staysInside(path: string, name: string): boolean {
  const target = relative(dirname(path), join(dirname(path), name))
  return name.startsWith('.') && !target.startsWith('..')
}

function loose(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '')
}

function sharesFile(entries: readonly { file: string }[], file: string): boolean {
  return entries.filter((entry) => entry.file === file).length > 1
}

function described(field: unknown): string | undefined {
  const { description, def } = field as { description?: string; def?: { innerType?: unknown } }
  return description ?? (def?.innerType === undefined ? undefined : described(def.innerType))
}
