/**
 * A configuration as written: YAML with the place of every key, and the command line's overrides laid over it.
 * It knows no schema; see `validate.ts`.
 */
import { readFile } from 'node:fs/promises'
import { LineCounter, isAlias, isMap, isNode, isScalar, isSeq, parseDocument, type Document, type Pair } from 'yaml'
import { configFileMissing, configInvalid, configUnreadable, type ConfigProblem } from '../errors.js'
import { suggest } from './suggest.js'

export type Path = readonly (string | number)[]

export interface ConfigDocument {
  /** As the user named it, for messages. */
  readonly file: string
  /** Plain data, overrides applied, interpolations not yet resolved. */
  readonly values: Record<string, unknown>
  /** `file:line:column a.b.c` of a key, or of its nearest ancestor that stands in the file. */
  where(path: Path): string
}

const commandLine = 'command line'

/** Reads a YAML file and lays `a.b=c` overrides over it. Raises ERR_CONFIG with every problem found. */
export async function readConfig(file: string, overrides: readonly string[] = []): Promise<ConfigDocument> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw missing ? configFileMissing(file) : configUnreadable(file, cause)
  }
  return parseConfig(text, file, overrides)
}

export function parseConfig(text: string, file: string, overrides: readonly string[] = []): ConfigDocument {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, merge: true, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset)
    return `${file}:${line}:${col}`
  }

  const problems: ConfigProblem[] = document.errors.map(({ pos, message }) => ({ where: at(pos[0]), message }))
  if (problems.length === 0 && !isMap(document.contents)) {
    const message = document.contents === null ? 'the file is empty' : 'expected keys with values at the top'
    problems.push({ where: `${file}:1:1`, message, hint: 'A configuration is a YAML mapping; see examples/.' })
  }
  if (problems.length === 0) problems.push(...overrides.flatMap((override) => applyOverride(document, override)))
  if (problems.length > 0) throw configInvalid(problems)

  return {
    file,
    values: document.toJS({ maxAliasCount: 1000 }) as Record<string, unknown>,
    where(path) {
      const offset = offsetOf(document, path)
      return [offset === undefined ? commandLine : at(offset), path.join('.')].filter(Boolean).join(' ')
    },
  }
}

/** Where a key (or an element of a list) begins in the text; undefined when it came from the command line. */
function offsetOf(document: Document, path: Path): number | undefined {
  let node: unknown = document.contents
  let offset: number | undefined = 0
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find(
        (item) => String(isScalar(item.key) ? item.key.value : item.key) === String(key),
      )
      if (pair === undefined) return offset
      offset = isNode(pair.key) ? pair.key.range?.[0] : undefined
      node = pair.value
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(key)]
      if (item === undefined) return offset
      offset = isNode(item) ? item.range?.[0] : undefined
      node = item
    } else {
      return offset
    }
  }
  return offset
}

/**
 * One override: `a.b.0.c=value` sets or creates, `+a.b=value` creates, `++a.b=value` is the first again,
 * `~a.b` deletes. The value is YAML. A name such as `method: simclr` becomes `{type: simclr}` when a key is set in it.
 */
function applyOverride(document: Document, override: string): ConfigProblem[] {
  const parts = /^(~|\+{0,2})([^=\s]+?)(?:=(.*))?$/s.exec(override)
  const [, sign, dotted, text] = parts ?? []
  const problem = (message: string, hint?: string): ConfigProblem[] => [
    { where: `${commandLine} ${override}`, message, hint },
  ]
  if (dotted === undefined || (text === undefined) !== (sign === '~')) {
    return problem(
      'expected key=value, +key=value or ~key',
      'For example: trainer.max_epochs=5 method.temperature=0.2 ~scheduler',
    )
  }
  const path = dotted.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part))

  const exists = document.hasIn(path)
  if (sign === '~') {
    if (!exists) return problem(`cannot delete "${dotted}": there is no such key`, hintFor(document, path))
    document.deleteIn(path)
    return []
  }
  if (sign === '+' && exists)
    return problem(`cannot add "${dotted}": it exists already`, `To change it, leave the + away.`)

  const value = parseDocument(text ?? '', { prettyErrors: false })
  if (value.errors.length > 0) return problem(`the value is not YAML: ${value.errors[0]!.message}`)

  for (let depth = 1; depth < path.length; depth++) {
    const ancestor = path.slice(0, depth)
    const node: unknown = document.getIn(ancestor, true)
    const key = path[depth]!
    if (isScalar(node) && typeof node.value === 'string') {
      document.setIn(ancestor, document.createNode({ type: node.value }))
    } else if (isSeq(node) && (typeof key !== 'number' || key > node.items.length)) {
      return problem(`"${ancestor.join('.')}" is a list of ${node.items.length}; "${key}" is no place in it`)
    } else if (node === undefined || (isScalar(node) && node.value === null)) {
      document.setIn(ancestor, document.createNode(typeof key === 'number' ? [] : {}))
    } else if (isScalar(node)) {
      return problem(`"${ancestor.join('.')}" is ${JSON.stringify(node.value)}; nothing can be set inside it`)
    }
  }
  // A node made from plain data has no range, by which `where` knows that it came from the command line.
  document.setIn(path, document.createNode(value.toJS()))
  return []
}

function hintFor(document: Document, path: Path): string | undefined {
  const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  const keys = isMap(parent) ? parent.items.map((item) => String(item.key)) : []
  const near = suggest(String(path.at(-1)), keys)
  return near === undefined ? undefined : `Did you mean "${near}"?`
}
