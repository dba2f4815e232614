/**
 * Suites: several methods trained on one data set under one budget, and a table of what came of it. Each row is a run of its
 * own in a process of its own, so that one that fails or is killed takes nothing along. The table itself is in `suite-table`.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { readConfig, type ConfigDocument } from '../config/document.js'
import { suggest } from '../config/suggest.js'
import { configInvalid, SptError } from '../errors.js'
import { writeFileAtomically } from '../runs/atomic-file.js'
import type { RunSummary } from '../train/manager.js'
import { suiteTable, type SuiteRow } from './suite-table.js'

const schema = z.strictObject({
  name: z.string().min(1).describe('heading of the table'),
  base: z.record(z.string(), z.unknown()).default({}).describe('what rows have in common: a configuration'),
  budget: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('laid over every row last, such as {trainer: {max_epochs: 10}}'),
  rows: z.record(z.string().regex(/^[\w.-]+$/, 'letters, digits, dots and dashes'), z.record(z.string(), z.unknown())),
})

export interface Suite {
  readonly name: string
  /** A whole configuration for each row. */
  readonly rows: ReadonlyMap<string, Record<string, unknown>>
}

/**
 * Reads a suite. Each row is laid, mapping by mapping, over the base, or over the configuration it names as `from`; the
 * budget comes over all of them. @throws ERR_CONFIG with file and line.
 */
export async function readSuite(file: string, overrides: readonly string[] = []): Promise<Suite> {
  const document = await readConfig(file, overrides)
  const { data, error } = schema.safeParse(document.values)
  if (error) throw configInvalid(error.issues.map((issue) => problem(document, issue)))
  const root = dirname(resolve(file))
  const rows = new Map<string, Record<string, unknown>>()
  for (const [name, { from, ...row }] of Object.entries(data.rows)) {
    const base = typeof from === 'string' ? await ofFile(resolve(root, from)) : rooted(data.base, root)
    rows.set(name, [rooted(row, root), rooted(data.budget, root)].reduce(merged, base) as Record<string, unknown>)
  }
  return { name: data.name, rows }
}

/** A whole configuration that a row begins from; its data sets are found from its own folder. */
const ofFile = async (file: string): Promise<unknown> => rooted((await readConfig(file)).values, dirname(file))

const problem = (document: ConfigDocument, { path, message }: z.core.$ZodIssue) => ({
  where: document.where(path as string[]),
  message,
  hint: 'A suite has name, base (a configuration), rows (what differs, by the name of the row) and budget.',
})

/** `over` laid over `base`: mappings key by key, unless they name another plugin; everything else replaces. */
function merged(base: unknown, over: unknown): unknown {
  if (!isMapping(base) || !isMapping(over)) return over
  if (over['type'] !== undefined && over['type'] !== base['type']) return over
  const keys = new Set([...Object.keys(base), ...Object.keys(over)])
  return Object.fromEntries([...keys].map((key) => [key, key in over ? merged(base[key], over[key]) : base[key]]))
}

/** Data sets lie where the suite says, not where the configuration of a row is written to. */
function rooted(value: unknown, root: string, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => rooted(item, root))
  if (isMapping(value))
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, rooted(item, root, name)]))
  return key === 'root' && typeof value === 'string' && !value.includes('${') ? resolve(root, value) : value
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export interface SuiteOptions {
  /** Folder of the runs and the tables; a suite that was stopped is gone on with there. */
  readonly output: string
  /** Only these rows. */
  readonly only?: readonly string[] | undefined
  /** Told a line for each row that begins or ends. */
  print(line: string): void
}

/** Trains every row that is not done yet, one after the other; the tables are written after each. */
export async function runSuite(suite: Suite, { output, only, print }: SuiteOptions): Promise<SuiteRow[]> {
  const unknown = only?.find((name) => !suite.rows.has(name))
  if (unknown !== undefined) {
    const names = [...suite.rows.keys()]
    const near = suggest(unknown, names)
    throw new SptError('ERR_CONFIG', `the suite "${suite.name}" has no row "${unknown}"`, {
      hint: near === undefined ? `It has: ${names.join(', ')}.` : `Did you mean "${near}"?`,
    })
  }
  const done = new Map<string, SuiteRow>()
  for (const [name, config] of suite.rows) {
    const folder = join(output, name)
    const before = await finished(folder)
    if (before === undefined && (only?.includes(name) ?? true)) {
      print(`${name}: begins`)
      const { status, error } = await train(folder, config)
      const stopped = status === 130 || status === 143
      const why = stopped ? 'stopped by hand; the same command goes on with it' : error
      const row = await rowOf(name, folder, config, status === 0 ? undefined : why)
      print(row.error === undefined ? `${name}: done` : `${name}: ${stopped ? row.error : `failed: ${row.error}`}`)
      done.set(name, row)
      if (stopped) break
    } else if (before !== undefined) done.set(name, await rowOf(name, folder, config, undefined))
    await writeTables(suite.name, [...done.values()], output)
  }
  await writeTables(suite.name, [...done.values()], output)
  return [...done.values()]
}

async function writeTables(name: string, rows: readonly SuiteRow[], output: string): Promise<void> {
  const { json, markdown, html } = suiteTable(name, rows)
  await writeFileAtomically(join(output, 'results.json'), json)
  await writeFileAtomically(join(output, 'results.md'), markdown)
  await writeFileAtomically(join(output, 'results.html'), html)
}

/** The summary of a row that has been trained to its end. */
async function finished(folder: string): Promise<RunSummary | undefined> {
  const summary = await summaryOf(await runFolder(folder))
  return summary?.status === 'interrupted' ? undefined : summary
}

/** How a run ended; undefined where there is none, or training never came back. */
async function summaryOf(run: string | undefined): Promise<RunSummary | undefined> {
  const text = run === undefined ? undefined : await readFile(join(run, 'summary.json'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as RunSummary)
}

/** The newest run below the folder of a row. */
async function runFolder(folder: string): Promise<string | undefined> {
  if (!existsSync(join(folder, 'runs'))) return undefined
  const entries = await readdir(join(folder, 'runs'), { recursive: true })
  const records = entries.filter((entry) => /(^|[/\\])run\.json$/.test(entry)).toSorted()
  const newest = records.at(-1)
  return newest === undefined ? undefined : dirname(join(folder, 'runs', newest))
}

/** Starts the row's run, or goes on with it, as `spt run` in a process of its own. */
async function train(folder: string, config: Record<string, unknown>): Promise<{ status: number; error: string }> {
  await mkdir(folder, { recursive: true })
  const stopped = await runFolder(folder)
  const file = join(folder, 'config.yaml')
  await writeFileAtomically(file, stringify({ ...config, cache_dir: folder }))
  const goesOn = stopped !== undefined && existsSync(join(stopped, 'checkpoints', 'last.ckpt'))
  // The command as it was started itself.
  const command = [...process.execArgv, process.argv[1] as string]
  const child = spawn(process.execPath, [...command, 'run', ...(goesOn ? ['--resume', stopped] : [file])], {
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  let tail = ''
  child.stderr.on('data', (bytes: Buffer) => {
    process.stderr.write(bytes)
    tail = (tail + bytes.toString()).slice(-4000)
  })
  // Ctrl-C reaches the child too, which saves and ends; this process waits for it.
  const ignore = (): void => undefined
  process.on('SIGINT', ignore)
  try {
    const status = await new Promise<number>((settle) => {
      child.on('error', () => settle(1))
      child.on('close', (code, signal) => settle(code ?? (signal === 'SIGINT' ? 130 : 143)))
    })
    return { status, error: /^error.*$/m.exec(tail)?.[0] ?? `ended with status ${status}` }
  } finally {
    process.off('SIGINT', ignore)
  }
}

async function rowOf(
  name: string,
  folder: string,
  { method }: Record<string, unknown>,
  error: string | undefined,
): Promise<SuiteRow> {
  const run = await runFolder(folder)
  const summary = await summaryOf(run)
  return {
    name,
    method: typeof method === 'string' ? method : String((method as { type?: unknown } | undefined)?.type ?? '?'),
    ...(run !== undefined && { run }),
    ...(summary && { summary }),
    ...(error !== undefined && { error }),
  }
}
