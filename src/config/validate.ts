/** A configuration as written, made into what a schema promises; every problem at once, each with its place in the file. */
import type { z } from 'zod'
import { configInvalid } from '../errors.js'
import { check } from './check.js'
import type { ConfigDocument } from './document.js'
import { interpolate } from './interpolate.js'
import { withLookup, type Lookup } from './reference.js'

/** Raises ERR_CONFIG with `file:line:column path: message` for each problem. */
export function validate<Schema extends z.ZodType>(
  document: ConfigDocument,
  schema: Schema,
  lookup: Lookup,
): z.output<Schema> {
  const { values, problems: unresolved } = interpolate(document)
  if (unresolved.length > 0) throw configInvalid(unresolved)
  const { output, problems } = withLookup(lookup, () => check(schema, values))
  if (problems.length > 0) {
    throw configInvalid(problems.map(({ path, message, hint }) => ({ where: document.where(path), message, hint })))
  }
  return output as z.output<Schema>
}
