/** A parsed configuration back as plain data in YAML's keys, every default filled in: what a run's own config.yaml says. */
import { z } from 'zod'
import { bestOption, unwrap } from './check.js'
import { formsOf } from './choice.js'
import { snakeCase } from './names.js'
import type { PluginUse } from './reference.js'

/** `validate` makes the same configuration of it again. Options that were not given and have no default are left out. */
export function plain(value: unknown, schema: z.core.$ZodType): unknown {
  if (Array.isArray(value)) {
    const { element, items } = definitionOf(schema)
    return value.map((item, index) =>
      isUse(item) ? plainUse(item) : plain(item, element ?? items?.[index] ?? anything),
    )
  }
  if (typeof value !== 'object' || value === null) return value
  if (isUse(value)) return plainUse(value)
  const forms = formsOf(schema)
  if (forms !== undefined) return plain(value, forms.schemas[forms.pick(value)] ?? anything)
  const def = definitionOf(schema)
  const { shape } =
    def.type === 'union'
      ? definitionOf(bestOption(value as Record<string, unknown>, def.options ?? []) ?? anything)
      : def
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => {
        const field = shape?.[key]
        return field === undefined
          ? [key, plain(item, def.valueType ?? anything)]
          : [snakeCase(key), plain(item, field)]
      }),
  )
}

const anything = z.unknown()

type Def = {
  type: string
  shape?: Record<string, z.core.$ZodType>
  element?: z.core.$ZodType
  items?: z.core.$ZodType[]
  valueType?: z.core.$ZodType
  options?: z.core.$ZodType[]
}
const definitionOf = (schema: z.core.$ZodType): Def => unwrap(schema)._zod.def as unknown as Def

function plainUse({ name, config, definition }: PluginUse): unknown {
  return { type: name, ...(plain(config, definition.config) as object) }
}

function isUse(value: unknown): value is PluginUse {
  return (
    typeof value === 'object' &&
    value !== null &&
    'definition' in value &&
    'kind' in value &&
    'config' in value &&
    'name' in value
  )
}
