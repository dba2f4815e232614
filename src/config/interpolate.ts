/**
 * `${a.b}` in a configuration: another value of the same file, by its path from the top (`${.b}`: from this mapping,
 * `${..b}`: from the one above). `${oc.env:NAME,default}` reads the environment. A `\${` is left as `${`.
 */
import type { ConfigProblem } from '../errors.js'
import type { ConfigDocument, Path } from './document.js'
import { suggest } from './suggest.js'

const whole = /^\$\{([^{}]*)\}$/
const innermost = /(?<!\\)\$\{([^{}]*)\}/

/** Resolves every interpolation; problems name the place that holds the unresolvable one. */
export function interpolate(document: ConfigDocument): { values: Record<string, unknown>; problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = []
  const done = new Map<string, unknown>()

  class Unresolvable extends Error {}

  function valueAt(path: Path, trail: readonly string[]): unknown {
    const id = path.join('.')
    if (trail.includes(id))
      throw new Unresolvable(`goes round in a circle: ${[...trail, id].map((key) => `\${${key}}`).join(' → ')}`)
    if (done.has(id)) return done.get(id)
    let value: unknown = document.values
    for (const [depth, key] of path.entries()) {
      if (typeof value === 'string')
        value = resolve(value, path.slice(0, depth), [...trail, path.slice(0, depth).join('.')])
      const inside = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
      if (!Object.hasOwn(inside, String(key))) {
        const near = suggest(String(key), Object.keys(inside))
        throw new Unresolvable(
          `there is no "${id}"${near === undefined ? '' : `; did you mean "${[...path.slice(0, depth), near].join('.')}"?`}`,
        )
      }
      value = inside[String(key)]
    }
    const resolved = tree(value, path, [...trail, id])
    done.set(id, resolved)
    return resolved
  }

  function tree(value: unknown, path: Path, trail: readonly string[]): unknown {
    if (typeof value === 'string') return resolve(value, path, trail)
    if (Array.isArray(value)) return value.map((item, index) => tree(item, [...path, index], trail))
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, tree(item, [...path, key], trail)]))
    }
    return value
  }

  function resolve(text: string, path: Path, trail: readonly string[]): unknown {
    let rest = text
    for (let match = innermost.exec(rest); match !== null; match = innermost.exec(rest)) {
      const value = lookUp(match[1]!.trim(), path, trail)
      if (whole.test(rest)) return value
      if (typeof value === 'object' && value !== null)
        throw new Unresolvable(`"${match[0]}" is not a single value and stands inside a text`)
      rest = rest.slice(0, match.index) + String(value) + rest.slice(match.index + match[0].length)
    }
    return rest.replaceAll('\\${', '${')
  }

  function lookUp(expression: string, path: Path, trail: readonly string[]): unknown {
    const [, resolver, argument] = /^([a-zA-Z][\w.]*):(.*)$/s.exec(expression) ?? []
    if (resolver === 'oc.env') {
      const [name, ...fallback] = argument!.split(',')
      const value = process.env[name!.trim()] ?? (fallback.length > 0 ? fallback.join(',').trim() : undefined)
      if (value === undefined) throw new Unresolvable(`the environment has no ${name!.trim()}`)
      return value
    }
    if (resolver !== undefined) throw new Unresolvable(`the resolver "${resolver}" is not known; known: oc.env`)
    const dots = /^\.*/.exec(expression)![0].length
    const start = dots === 0 ? [] : path.slice(0, Math.max(0, path.length - dots))
    const keys = expression
      .slice(dots)
      .replaceAll(/\[(\w+)\]/g, '.$1')
      .split('.')
    return valueAt([...start, ...keys.map((key) => (/^\d+$/.test(key) ? Number(key) : key))], trail)
  }

  function walk(value: unknown, path: Path): unknown {
    if (typeof value === 'string') {
      try {
        return resolve(value, path, [path.join('.')])
      } catch (error) {
        if (!(error instanceof Unresolvable)) throw error
        problems.push({
          where: document.where(path),
          message: `cannot resolve ${JSON.stringify(value)}: ${error.message}`,
        })
        return value
      }
    }
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]))
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]))
    }
    return value
  }

  return { values: walk(document.values, []) as Record<string, unknown>, problems }
}
