/**
 * Which Parquet files of a repository are a split: what its README says under `configs`, else what the names say.
 * Source of both rules: the Hub's documentation, "Manual configuration" and "File names and splits".
 */
import { parse } from 'yaml'
import { SptError, dataCorrupt, reason } from '../errors.js'

export interface SplitChoice {
  /** A configuration of the data set, where there are several. */
  readonly configuration?: string | undefined
  /** `train`, `test` …; default: train. */
  readonly split?: string | undefined
}

interface Configuration {
  readonly config_name?: unknown
  readonly default?: unknown
  readonly data_files?: unknown
}

/** What a README declares; none where it declares nothing. */
export function configurations(readme: string | undefined, where: string): readonly Configuration[] {
  const front = /^---\r?\n([^]*?)\r?\n---/.exec(readme ?? '')?.[1]
  if (front === undefined) return []
  try {
    const { configs } = (parse(front) ?? {}) as { configs?: unknown }
    return Array.isArray(configs) ? (configs as Configuration[]) : []
  } catch (cause) {
    throw dataCorrupt(`${where}/README.md`, `its front matter is no YAML (${reason(cause)})`)
  }
}

/** The Parquet files among `files` of the split. ERR_DATA that names what there is where the split is not. */
export function parquetFilesOf(
  files: readonly string[],
  declared: readonly Configuration[],
  { configuration, split = 'train' }: SplitChoice,
  where: string,
): string[] {
  const parquet = files.filter((file) => file.endsWith('.parquet'))
  if (parquet.length === 0) {
    throw new SptError('ERR_DATA', `${where}: there are no Parquet files`, {
      hint: 'The Hub converts many data sets itself: try revision: refs/convert/parquet.',
    })
  }
  const usable = declared.filter(({ data_files }) => data_files !== undefined)
  if (usable.length > 0) {
    const chosen =
      usable.find(({ config_name }) => config_name === configuration) ??
      (configuration === undefined
        ? (usable.find((one) => one.default === true) ??
          usable.find((one) => one.config_name === 'default') ??
          (usable.length === 1 ? usable[0] : undefined))
        : undefined)
    if (chosen === undefined)
      throw noSuch(
        'configuration',
        configuration,
        usable.map(({ config_name }) => String(config_name)),
        where,
      )
    const patterns = patternsOf(chosen.data_files)
    const found = parquet.filter((file) => patterns.some(([of, pattern]) => of === split && globMatches(pattern, file)))
    if (found.length === 0) throw noSuch('split', split, [...new Set(patterns.map(([of]) => of))], where)
    return found
  }
  const folders = [...new Set(parquet.filter((file) => file.includes('/')).map((file) => file.split('/')[0] as string))]
  const within = configuration === undefined ? parquet : parquet.filter((file) => file.startsWith(`${configuration}/`))
  if (within.length === 0) throw noSuch('configuration', configuration, folders, where)
  const named = within.filter((file) => names(file, split))
  // Files that name no split at all are the training data.
  const unnamed = split === 'train' ? within.filter((file) => !splitNames.some((name) => names(file, name))) : []
  const found = named.length > 0 ? named : unnamed
  if (found.length === 0)
    throw noSuch(
      'split',
      split,
      splitNames.filter((name) => within.some((file) => names(file, name))),
      where,
    )
  const owners = new Set(
    found.map((file) =>
      file
        .split('/')
        .slice(0, -1)
        .filter((part) => part !== split && part !== 'data')
        .join('/'),
    ),
  )
  if (owners.size > 1) throw noSuch('configuration', configuration, [...owners], where)
  return found
}

const splitNames = ['train', 'test', 'validation', 'valid', 'val', 'dev', 'eval']

/** Whether a path holds a split's name as a word: `data/train-00000-of-00001.parquet`, `plain/train/0000.parquet`. */
function names(file: string, split: string): boolean {
  const word = split.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  return new RegExp(`(^|[-_./ 0-9])${word}([-_./ 0-9]|$)`).test(file)
}

/** `data_files` as [split, pattern]: one pattern, a list of them, or a list of `{split, path}`. */
function patternsOf(given: unknown): (readonly [split: string, pattern: string])[] {
  const list = Array.isArray(given) ? given : [given]
  return list.flatMap((entry: unknown) => {
    if (typeof entry === 'string') return [['train', entry] as const]
    const { split = 'train', path } = (entry ?? {}) as { split?: unknown; path?: unknown }
    return [path].flat().map((pattern) => [String(split), String(pattern)] as const)
  })
}

/** `*` within a folder, `**` across folders, `?` one character, `[…]` as written. */
export function globMatches(pattern: string, path: string): boolean {
  const expression = pattern
    .replaceAll(/[.+^${}()|\\]/g, String.raw`\$&`)
    .replaceAll(/\*\*\/?|\*|\?/g, (found) =>
      found === '?' ? '[^/]' : found === '*' ? '[^/]*' : found === '**' ? '.*' : '(?:.*/)?',
    )
  return new RegExp(`^${expression}$`).test(path)
}

function noSuch(what: string, name: string | undefined, known: readonly string[], where: string): SptError {
  const message = name === undefined ? `${where}: it has several ${what}s` : `${where}: there is no ${what} "${name}"`
  return new SptError('ERR_DATA', message, { hint: `There are: ${known.join(', ') || 'none'}.` })
}
