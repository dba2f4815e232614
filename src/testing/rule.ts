/** What a conformance rule is, and how one is broken. It knows no test runner: an author binds rules to the one at hand. */
import { SptError } from '../errors.js'

export interface Rule {
  readonly name: string
  /** Resolves where the plugin keeps the rule, rejects with what it did instead. */
  check(): Promise<void>
}

export function rule(name: string, check: () => Promise<void> | void): Rule {
  return { name, check: async () => check() }
}

/** Ends a rule: what was found instead, with the values. */
export function require(holds: boolean, found: () => string): void {
  if (!holds) throw new SptError('ERR_PLUGIN', found())
}

/** Two lists of numbers, equal bit for bit. */
export function requireEqual(
  what: string,
  found: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
): void {
  const at = Array.from({ length: Math.max(found.length, expected.length) }).findIndex(
    (_, i) => !Object.is(found[i], expected[i]),
  )
  require(at < 0, () => `${what}: element ${at} is ${String(found[at])}, expected ${String(expected[at])}`)
}
