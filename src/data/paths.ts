/** Places inside a sample by dotted paths such as `views.0.image`; a part that is a number counts in a list. */
import { SptError } from '../errors.js'

/** The value at a path. ERR_DATA where there is none. */
export function valueAt(values: object, path: string, index: number): unknown {
  let value: unknown = values
  for (const part of path.split('.')) {
    const parent = value
    value = typeof parent === 'object' && parent !== null ? (parent as Record<string, unknown>)[part] : undefined
    if (value === undefined) {
      const known = typeof parent === 'object' && parent !== null ? Object.keys(parent).join(', ') : 'nothing'
      throw new SptError('ERR_DATA', `sample ${index} has no "${path}"; beside "${part}" it has ${known}`, {
        hint: 'A transform names it as source.',
      })
    }
  }
  return value
}

/** Puts a value at a path. Objects on the way are copied, since views of a sample share what they have not changed. */
export function setPath(values: Record<string, unknown>, path: string, value: unknown): void {
  const parts = path.split('.')
  const last = parts.pop() as string
  let place = values
  for (const part of parts) {
    const child = place[part]
    const copy = Array.isArray(child) ? [...(child as unknown[])] : { ...(child as object | undefined) }
    place[part] = copy
    place = copy as Record<string, unknown>
  }
  place[last] = value
}

/** Whether a path can go on inside a value: a plain object or a list. */
export function isNested(value: object): boolean {
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
}
