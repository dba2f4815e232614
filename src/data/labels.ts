/** Class numbers from labels as files have them: whole numbers, or names. */
import { SptError, dataCorrupt, show } from '../errors.js'

/** More classes than this are not named by number. */
const mostNumbered = 100_000

/**
 * Labels as class numbers. With `classes`, a label is one of them or a number below their count; without, whole numbers stay
 * as they are, and names become the numbers of their places in the order of bytes. ERR_DATA with `where(row)` else.
 */
export function labelsOf(
  given: readonly unknown[],
  classes: readonly string[] | undefined,
  where: (row: number) => string,
): { labels: Uint32Array; classes?: readonly string[] } {
  const numbers = given.map(wholeNumber)
  if (classes !== undefined) {
    const known = new Map(classes.map((name, number) => [name, number]))
    const labels = given.map((label, row) => {
      const found = known.get(String(label)) ?? numbers[row]
      if (found !== undefined && found < classes.length) return found
      throw dataCorrupt(where(row), `the label ${show(label)} is none of the ${classes.length} classes`)
    })
    return { labels: Uint32Array.from(labels), classes }
  }
  if (numbers.every((number) => number !== undefined)) {
    const most = numbers.reduce((largest, number) => Math.max(largest, number), 0)
    const named = most < mostNumbered ? { classes: Array.from({ length: most + 1 }, (_, number) => `${number}`) } : {}
    return { labels: Uint32Array.from(numbers), ...named }
  }
  const odd = given.findIndex((label) => typeof label !== 'string' && typeof label !== 'number')
  if (odd >= 0) throw dataCorrupt(where(odd), `expected a name or a whole number as label, found ${show(given[odd])}`)
  // Not the locale's order, which differs between machines.
  const names = [...new Set(given.map(String))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const place = new Map(names.map((name, number) => [name, number]))
  return { labels: Uint32Array.from(given, (label) => place.get(String(label)) as number), classes: names }
}

/** A class number out of a number, a bigint or digits; undefined where it is none. */
export function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' ? (/^\d{1,10}$/.test(value) ? Number(value) : NaN) : Number(value)
  if (typeof value === 'boolean' || value === null || typeof value === 'object') return undefined
  return Number.isInteger(number) && number >= 0 && number < 2 ** 32 ? number : undefined
}

/** One label as a class number. ERR_DATA where it is no whole number, none of `classes`. */
export function labelOf(value: unknown, classes: readonly string[] | undefined, where: string): number {
  const named = classes?.indexOf(String(value)) ?? -1
  const number = named >= 0 ? named : wholeNumber(value)
  if (number !== undefined && number < (classes?.length ?? Infinity)) return number
  const message = `${where}: expected ${classes === undefined ? 'a whole number' : `one of ${classes.length} classes`} as label, found ${show(typeof value === 'bigint' ? Number(value) : value)}`
  throw new SptError('ERR_DATA', message, {
    hint: classes === undefined ? 'Labels that are names need classes, in order.' : undefined,
  })
}
