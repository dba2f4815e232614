/**
 * Plain data against a zod schema, with messages a person can act on: what was expected, what was found, and the word
 * that was probably meant. Keys are snake_case outside and camelCase inside.
 * It knows no file; places are paths in the data as it was written.
 */
import type { z } from 'zod'
import { show } from '../errors.js'
import { camelCase, snakeCase } from './names.js'
import { suggest } from './suggest.js'

export type Problem = { path: readonly (string | number)[]; message: string; hint?: string | undefined }

/** Parses `value`; `output` is undefined when there are problems. */
export function check(schema: z.ZodType, value: unknown): { output: unknown; problems: Problem[] } {
  const problems: Problem[] = []
  const prepared = prepare(value, schema, [], problems)
  const result = schema.safeParse(prepared)
  for (const issue of result.error?.issues ?? []) {
    const path = asWritten(value, issue.path)
    if (issue.code === 'unrecognized_keys') continue // `prepare` has reported them, with a suggestion
    problems.push({
      path,
      message: describe(issue, valueAt(prepared, issue.path), schemaAt(schema, issue.path)),
      hint: hintOf(issue),
    })
  }
  return { output: problems.length === 0 ? result.data : undefined, problems }
}

/** A schema without its wrappers (optional, default, pipes from plain data). */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const { def } = schema._zod as unknown as {
    def: { type: string; innerType?: z.core.$ZodType; in?: z.core.$ZodType; out?: z.core.$ZodType }
  }
  if (def.type === 'pipe') return unwrap((def.in!._zod.def.type === 'transform' ? def.out : def.in)!)
  return def.innerType === undefined ? schema : unwrap(def.innerType)
}

// The parts of zod's definitions read here, by their `type`; a plugin may bring its own copy of zod, so no instanceof.
type Def = {
  type: string
  shape?: Record<string, z.core.$ZodType>
  element?: z.core.$ZodType
  items?: z.core.$ZodType[]
  valueType?: z.core.$ZodType
  options?: z.core.$ZodType[]
  catchall?: z.core.$ZodType
}
const definitionOf = (schema: z.core.$ZodType): Def => unwrap(schema)._zod.def as unknown as Def

/** Renames keys to camelCase where the schema names them, reports those it does not know, drops nulls that mean "not given". */
function prepare(
  value: unknown,
  schema: z.core.$ZodType,
  path: readonly (string | number)[],
  problems: Problem[],
): unknown {
  const def = definitionOf(schema)
  if (Array.isArray(value)) {
    return value.map((item, index) => {
      const element = def.element ?? def.items?.[index]
      return element === undefined ? item : prepare(item, element, [...path, index], problems)
    })
  }
  if (!isMapping(value)) return value
  if (def.type === 'record') {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, prepare(item, def.valueType!, [...path, key], problems)]),
    )
  }
  if (def.type === 'union') {
    const option = bestOption(value, def.options ?? [])
    return option === undefined ? value : prepare(value, option, path, problems)
  }
  if (def.type !== 'object') return value

  const shape = def.shape!
  const prepared: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const name = Object.hasOwn(shape, key) ? key : camelCase(key)
    const field = Object.hasOwn(shape, name) ? shape[name] : undefined
    if (field !== undefined) {
      if (item === null && isWrapped(field, ['optional', 'default', 'prefault']) && !isWrapped(field, ['nullable']))
        continue
      prepared[name] = prepare(item, field, [...path, key], problems)
    } else if (def.catchall !== undefined && def.catchall._zod.def.type !== 'never') {
      prepared[key] = item
    } else {
      problems.push({ path: [...path, key], ...unknownKey(key, Object.keys(shape).map(snakeCase)) })
    }
  }
  return prepared
}

function unknownKey(key: string, known: readonly string[]): { message: string; hint?: string } {
  const near = suggest(key, known)
  if (near !== undefined) return { message: `unknown key "${key}"; did you mean "${near}"?` }
  return { message: `unknown key "${key}"`, ...(known.length > 0 && { hint: `Known keys: ${known.join(', ')}.` }) }
}

/** Of a union's object schemas, the one that knows most of the keys. */
export function bestOption(
  value: Record<string, unknown>,
  options: readonly z.core.$ZodType[],
): z.core.$ZodType | undefined {
  const score = (option: z.core.$ZodType) => {
    const shape = definitionOf(option).shape
    return shape === undefined ? -1 : Object.keys(value).filter((key) => camelCase(key) in shape).length
  }
  const best = options.toSorted((a, b) => score(b) - score(a))[0]
  return best !== undefined && score(best) >= 0 ? best : undefined
}

/** Whether one of a schema's wrappers is of these types. */
function isWrapped(schema: z.core.$ZodType, types: readonly string[]): boolean {
  const { def } = schema._zod as unknown as { def: { type: string; innerType?: z.core.$ZodType } }
  return types.includes(def.type) || (def.innerType !== undefined && isWrapped(def.innerType, types))
}

const typeNames: Record<string, string> = {
  number: 'a number',
  int: 'an integer',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'keys with values',
  record: 'keys with values',
  null: 'null',
}

/** `expected an integer of at least 1, got 0 (epochs to train)`. */
function describe(issue: z.core.$ZodIssue, got: unknown, schema: z.core.$ZodType | undefined): string {
  if (issue.code === 'custom') return issue.message
  const help = schema === undefined ? undefined : descriptionOf(schema)
  const end = `${got === undefined ? '' : `, got ${show(got)}`}${help === undefined ? '' : ` (${help})`}`
  const expected = expectation(issue)
  if (got === undefined) return `missing; expected ${expected}${end}`
  const near =
    issue.code === 'invalid_value' && typeof got === 'string' ? suggest(got, issue.values.map(String)) : undefined
  return `expected ${expected}${end}${near === undefined ? '' : `; did you mean "${near}"?`}`
}

function expectation(issue: z.core.$ZodIssue): string {
  const unit = (origin: string, count: unknown) =>
    origin === 'array'
      ? `a list of ${String(count)} elements`
      : origin === 'string'
        ? `a text of ${String(count)} characters`
        : String(count)
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? issue.expected
    case 'too_small':
      return `${issue.inclusive === false ? 'more than' : 'at least'} ${unit(issue.origin, issue.minimum)}`
    case 'too_big':
      return `${issue.inclusive === false ? 'less than' : 'at most'} ${unit(issue.origin, issue.maximum)}`
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`
    case 'invalid_value':
      return issue.values.length === 1 ? show(issue.values[0]) : `one of ${issue.values.map(show).join(', ')}`
    case 'invalid_union': {
      const branches = issue.errors.map((branch) => branch.find(({ path }) => path.length === 0) ?? branch[0])
      const options = branches.flatMap((branch) => (branch === undefined ? [] : [expectation(branch)]))
      return [...new Set(options)].join(', or ') || 'another value'
    }
    default:
      return `another value: ${issue.message}`
  }
}

function hintOf(issue: z.core.$ZodIssue): string | undefined {
  return issue.code === 'custom' && typeof issue.params?.['hint'] === 'string' ? issue.params['hint'] : undefined
}

/** A field's sentence, wherever among its wrappers it was attached. */
export function descriptionOf(schema: z.core.$ZodType): string | undefined {
  const own = (schema as Partial<z.ZodType>).description
  const { innerType } = schema._zod.def as unknown as { innerType?: z.core.$ZodType }
  return own ?? (innerType === undefined ? undefined : descriptionOf(innerType))
}

function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType | undefined {
  let at: z.core.$ZodType | undefined = schema
  for (const key of path) {
    if (at === undefined) return undefined
    const def: Def = definitionOf(at)
    at = def.shape?.[String(key)] ?? def.element ?? def.items?.[Number(key)] ?? def.valueType
  }
  return at
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  )
}

/** A path of zod's in the keys as they were written. */
function asWritten(value: unknown, path: readonly PropertyKey[]): (string | number)[] {
  let at = value
  return path.map((part) => {
    const key = typeof part === 'number' ? part : String(part)
    if (!isMapping(at)) {
      at = Array.isArray(at) && typeof key === 'number' ? at[key] : undefined
      return typeof key === 'number' ? key : snakeCase(key)
    }
    const written = Object.hasOwn(at, key)
      ? String(key)
      : Object.keys(at).find((candidate) => camelCase(candidate) === key)
    at = written === undefined ? undefined : at[written]
    return written ?? snakeCase(String(key))
  })
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
