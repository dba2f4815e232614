/**
 * Schema fields that name a plugin: `simclr`, `{type: simclr, temperature: 0.5}` or Hydra's `{_target_: …}`.
 * The named plugin's own schema takes part in the validation of the whole file; which plugins there are is told to
 * `validate`, so this file knows none.
 */
import { z } from 'zod'
import { SptError, internal, reason, show, withArticle } from '../errors.js'
import { check, type Problem } from './check.js'

/** What a definition has to show to be referred to. */
export interface Referable {
  readonly name: string
  readonly config: z.ZodObject
  /** Options in the order of `_args_`; one that begins with "..." takes all that are left. */
  readonly positional?: readonly string[]
  /** By target: options, as in YAML, whose defaults differ under that name. */
  readonly targetDefaults?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** A plugin chosen in a configuration, its options parsed by its own schema. */
export interface PluginUse<K extends string = string> {
  readonly kind: K
  /** As it was written: a name, a path, a package's, or a target. */
  readonly name: string
  readonly definition: Referable
  readonly config: Record<string, unknown>
}

/** Finds a loaded definition by name, alias, path or target; raises ERR_PLUGIN for an unknown one. */
export type Lookup = (kind: string, name: string) => Referable

// Zod hands no context of the caller to a transform; parsing is synchronous, so this is set only while it lasts.
let lookup: Lookup | undefined

export function withLookup<T>(known: Lookup, parse: () => T): T {
  const outer = lookup
  lookup = known
  try {
    return parse()
  } finally {
    lookup = outer
  }
}

/** A field that names one plugin of a kind. Give a default by `.prefault('sgd')` or `.prefault({ type: 'sgd', lr: 0.1 })`. */
export function reference<K extends string>(kind: K) {
  return z
    .unknown()
    .transform((value, context) => use(kind, value, [], context))
    .meta({ plugin: kind })
}

/** A field that names several, in order; one alone may stand without the list. */
export function references<K extends string>(kind: K) {
  return z
    .unknown()
    .transform((value, context): PluginUse<K>[] => {
      if (!Array.isArray(value)) return [use(kind, value, [], context)]
      return value.map((item, index) => use(kind, item, [index], context))
    })
    .meta({ plugin: kind, many: true })
}

/**
 * A field that names several, each under a name of its own: `accuracy`, a list (each by its own name), or a mapping from
 * names. A mapping with exactly the keys `parts` has such a field for each part; all others belong to the last part.
 */
export function namedReferences<K extends string, Part extends string>(kind: K, parts: readonly [...Part[], Part]) {
  return z
    .unknown()
    .transform((value, context): Record<Part, Record<string, PluginUse<K>>> => {
      const apart = isMapping(value) && Object.keys(value).toSorted().join() === parts.toSorted().join()
      const entries = parts.map((part, index) => {
        if (apart) return [part, namedUses(kind, value[part], [part], context)]
        return [part, index === parts.length - 1 ? namedUses(kind, value, [], context) : {}]
      })
      return Object.fromEntries(entries) as Record<Part, Record<string, PluginUse<K>>>
    })
    .meta({ plugin: kind, parts })
}

function namedUses<K extends string>(
  kind: K,
  value: unknown,
  path: (string | number)[],
  context: z.core.$RefinementCtx,
): Record<string, PluginUse<K>> {
  if (isMapping(value) && !('type' in value) && !('_target_' in value)) {
    const entries = Object.entries(value)
    return Object.fromEntries(entries.map(([name, item]) => [name, use(kind, item, [...path, name], context)]))
  }
  const uses: Record<string, PluginUse<K>> = {}
  for (const [index, item] of (Array.isArray(value) ? value : [value]).entries()) {
    const at = Array.isArray(value) ? [...path, index] : path
    const one = use(kind, item, at, context)
    const name = (one as PluginUse<K> | undefined)?.definition?.name ?? String(index) // a problem was reported
    if (name in uses) {
      const hint = `Write a mapping: a name of its own for each ${kind}.`
      context.issues.push({
        code: 'custom',
        input: item,
        params: { hint },
        message: `"${name}" is there twice`,
        path: at,
      })
    }
    uses[name] = one
  }
  return uses
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const hydraKeys = new Set(['type', '_target_', '_args_', '_partial_', '_convert_', '_recursive_'])

/** Hydra's positional arguments as options; undefined where one has no name. */
function byName(args: unknown, names: readonly string[]): Record<string, unknown> | undefined {
  if (args === undefined) return {}
  const last = names.at(-1)
  const rest = last?.startsWith('...') ? last.slice(3) : undefined
  const single = rest === undefined ? names : names.slice(0, -1)
  if (!Array.isArray(args) || (rest === undefined && args.length > single.length)) return undefined
  const options = Object.fromEntries(args.slice(0, single.length).map((value, index) => [single[index], value]))
  return rest === undefined ? options : { ...options, [rest]: args.slice(single.length) }
}

function use<K extends string>(
  kind: K,
  value: unknown,
  path: (string | number)[],
  context: z.core.$RefinementCtx,
): PluginUse<K> {
  const failed = (problem: Problem): never => {
    context.issues.push({
      code: 'custom',
      input: value,
      params: { hint: problem.hint },
      message: problem.message,
      path: [...path, ...problem.path],
    })
    return z.NEVER
  }
  const object = isMapping(value) ? value : undefined
  const key = object !== undefined && '_target_' in object ? '_target_' : 'type'
  const name = object === undefined ? value : object[key]
  if (typeof name !== 'string' || name === '') {
    const got = value === undefined ? 'nothing' : show(value)
    return failed({
      path: [],
      message: `expected the name of ${withArticle(kind)}, or a mapping with "type", got ${got}`,
    })
  }
  if (lookup === undefined) throw internal('a plugin reference was parsed outside of validate()')
  let definition: Referable
  try {
    definition = lookup(kind, name)
  } catch (error) {
    return failed({
      path: object === undefined ? [] : [key],
      message: reason(error),
      hint: error instanceof SptError ? error.hint : undefined,
    })
  }
  const args = byName(object?.['_args_'], definition.positional ?? [])
  if (args === undefined) {
    return failed({
      path: ['_args_'],
      message: `positional arguments of ${name} have no names here`,
      hint: 'Write them with their keys.',
    })
  }
  const written = Object.entries(object ?? {}).filter(([option]) => !hydraKeys.has(option))
  const options = { ...definition.targetDefaults?.[name], ...args, ...Object.fromEntries(written) }
  const { output, problems } = check(definition.config, options)
  problems.forEach(failed)
  return { kind, name, definition, config: (output ?? {}) as Record<string, unknown> }
}
