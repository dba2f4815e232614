/** zod schemas as JSON Schema for editors: snake_case keys, and a choice of plugins where a field refers to one. */
import { z } from 'zod'
import { formsOf } from './choice.js'
import { snakeCase } from './names.js'

type Json = Record<string, unknown>

/** What the schema of references needs to know of a definition. */
export interface Described {
  readonly kind: string
  readonly name: string
  readonly description: string
  readonly config: z.ZodObject
}

/** The schema of one plugin's options, as they are written in YAML. */
export function pluginJsonSchema(config: z.ZodType): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(config, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const { plugin, many, parts } = z.globalRegistry.get(zodSchema) ?? {}
      if (typeof plugin === 'string') {
        const one = { $ref: `#/definitions/${plugin}` }
        const several = [one, { type: 'array', items: one }]
        const choices = Array.isArray(parts) ? named(several, one, parts) : many === true ? several : [one]
        jsonSchema.anyOf = choices as typeof jsonSchema.anyOf & {}
        for (const key of ['plugin', 'many', 'parts']) delete jsonSchema[key]
        return
      }
      const forms = zodSchema._zod.def.type === 'pipe' ? formsOf(zodSchema) : undefined
      if (forms !== undefined) {
        jsonSchema.anyOf = Object.values(forms.schemas).map(pluginJsonSchema)
        delete jsonSchema['forms']
        return
      }
      if (jsonSchema.properties !== undefined) jsonSchema.properties = withSnakeKeys(jsonSchema.properties)
      if (jsonSchema.required !== undefined) jsonSchema.required = jsonSchema.required.map(snakeCase)
      // zod bounds every integer by what a float64 holds exactly, which says nothing to a person.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
    },
  }) as Json
  return schema
}

/** One, several, or each under a name of its own; or that for each of the parts. */
function named(several: Json[], one: Json, parts: string[]): Json[] {
  const part = { anyOf: [...several, { type: 'object', additionalProperties: one }] }
  const properties = Object.fromEntries(parts.map((key) => [key, part]))
  return [...part.anyOf, { type: 'object', properties, required: parts, additionalProperties: false }]
}

/** The schema of a whole configuration, with a definition for each kind of plugin. */
export function documentJsonSchema(root: z.ZodType, plugins: readonly Described[]): Json {
  const definitions: Json = {}
  for (const kind of new Set([...referredKinds(root, plugins), ...plugins.map((plugin) => plugin.kind)])) {
    definitions[kind] = choice(plugins.filter((plugin) => plugin.kind === kind))
  }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'stable-pretraining',
    ...pluginJsonSchema(root),
    definitions,
  }
}

/** One of the known plugins by name or with options, or another one by path or package. */
function choice(plugins: readonly Described[]): Json {
  const known = plugins
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map(({ name, description, config }) => {
      const {
        properties = {},
        required = [],
        ...rest
      } = pluginJsonSchema(config) as { properties?: Json; required?: string[] }
      return { name, description, properties, required, rest }
    })
  return {
    anyOf: [
      ...known
        .filter(({ required }) => required.length === 0)
        .map(({ name, description }) => ({ const: name, description })),
      ...known.map(({ name, description, properties, required, rest }) => ({
        description,
        ...rest,
        properties: { type: { const: name }, ...properties },
        required: ['type', ...required],
      })),
      { type: 'string', pattern: '[./]', description: 'a file, or package/name' },
      { type: 'object', properties: { type: { type: 'string', pattern: '[./]' } }, required: ['type'] },
      { type: 'object', properties: { _target_: { type: 'string' } }, required: ['_target_'] },
    ],
  }
}

/** Kinds that are referred to although no plugin of theirs is known. */
function referredKinds(root: z.ZodType, plugins: readonly Described[]): string[] {
  const text = JSON.stringify([pluginJsonSchema(root), ...plugins.map(({ config }) => pluginJsonSchema(config))])
  return [...text.matchAll(/"#\/definitions\/(\w+)"/g)].map((match) => match[1]!)
}

function withSnakeKeys<T>(properties: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(properties).map(([key, schema]) => [snakeCase(key), schema]))
}
