/**
 * A field with several forms that are told apart by looking at it, so that a mistake is reported against the form that
 * was meant. A zod union would only say that none fits.
 */
import { z } from 'zod'
import { check } from './check.js'

/** The forms by name, and which of them a value is. */
export interface Forms {
  readonly schemas: Readonly<Record<string, z.ZodType>>
  readonly pick: (value: unknown) => string
}

/** A field that has the form `pick` names; its output is what that form's schema makes of it. */
export function choice<Output>(schemas: Record<string, z.ZodType>, pick: (value: unknown) => string) {
  return z
    .unknown()
    .transform((value, context): Output => {
      const { output, problems } = check(schemas[pick(value)] as z.ZodType, value)
      for (const { path, message, hint } of problems) {
        context.issues.push({ code: 'custom', input: value, params: { hint }, message, path: [...path] })
      }
      return problems.length === 0 ? (output as Output) : z.NEVER
    })
    .meta({ forms: { schemas, pick } })
}

/** The forms of a field, wherever among its wrappers they were attached. */
export function formsOf(schema: z.core.$ZodType): Forms | undefined {
  const { forms } = (z.globalRegistry.get(schema) ?? {}) as { forms?: Forms }
  const { innerType } = schema._zod.def as unknown as { innerType?: z.core.$ZodType }
  return forms ?? (innerType === undefined ? undefined : formsOf(innerType))
}
