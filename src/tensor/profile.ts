/** Where time goes, by operation: the core's counts as a report and as a table. Whose steps those are is not known here. */
import { setProfiling, takeProfile, type ProfileEntry } from '../native.js'

export { setProfiling, takeProfile, type ProfileEntry }

/** An operation in one phase, all shapes together, with what ran inside of it. */
export interface ProfileRow {
  readonly name: string
  readonly phase: ProfileEntry['phase']
  readonly calls: number
  /** With those of operations inside. */
  readonly seconds: number
  /** Multiplications and additions, those inside included; 0 where unknown. */
  readonly operations: number
  readonly bytes: number
  readonly inside: readonly ProfileRow[]
}

/** Counts of some steps, and what of their time no operation took. */
export interface ProfileReport {
  readonly steps: number
  /** Of all steps together, from clock to clock. */
  readonly seconds: number
  /** Of these, waiting for the next batch. */
  readonly waitingSeconds: number
  /** Everything else: JavaScript, copies to it, logging. */
  readonly otherSeconds: number
  /** The longest first. */
  readonly rows: readonly ProfileRow[]
  /** Unsummed, by shapes. */
  readonly entries: readonly ProfileEntry[]
}

/** Sums entries by operation and phase; together with waiting and the rest they are the seconds given. */
export function profileReport(
  entries: readonly ProfileEntry[],
  { steps, seconds, waitingSeconds = 0 }: { steps: number; seconds: number; waitingSeconds?: number },
): ProfileReport {
  const rows = groupBy(entries, ({ name, within, phase }) => `${within ?? name} ${phase}`).map((group) => {
    const outer = group.filter(({ within }) => within === undefined)
    const inside = groupBy(
      group.filter(({ within }) => within !== undefined),
      ({ name }) => name,
    ).map((inner) => rowOf(inner[0]!.name, inner, inner, []))
    return rowOf(group[0]!.within ?? group[0]!.name, outer, group, inside.toSorted(longestFirst))
  })
  const counted = entries.reduce((sum, entry) => sum + entry.seconds, 0)
  const otherSeconds = Math.max(0, seconds - counted - waitingSeconds)
  return { steps, seconds, waitingSeconds, otherSeconds, rows: rows.toSorted(longestFirst), entries }
}

/** Entries of the same operation, shapes, phase and place, summed. */
export function mergeProfiles(profiles: readonly (readonly ProfileEntry[])[]): ProfileEntry[] {
  const same = groupBy(profiles.flat(), ({ name, phase, within, shapes }) =>
    [name, phase, within ?? '', shapes].join('|'),
  )
  return same.map((group) =>
    group.reduce((a, b) => ({
      ...a,
      calls: a.calls + b.calls,
      seconds: a.seconds + b.seconds,
      operations: a.operations + b.operations,
      bytes: a.bytes + b.bytes,
    })),
  )
}

/** Calls and bytes of `own`, seconds and arithmetic of `all`. */
function rowOf(
  name: string,
  own: readonly ProfileEntry[],
  all: readonly ProfileEntry[],
  inside: readonly ProfileRow[],
): ProfileRow {
  const sum = (entries: readonly ProfileEntry[], of: (entry: ProfileEntry) => number) =>
    entries.reduce((total, entry) => total + of(entry), 0)
  return {
    name,
    phase: all[0]!.phase,
    calls: sum(own, ({ calls }) => calls),
    seconds: sum(all, ({ seconds }) => seconds),
    operations: sum(all, ({ operations }) => operations),
    bytes: sum(own, ({ bytes }) => bytes),
    inside,
  }
}

const longestFirst = (a: ProfileRow, b: ProfileRow): number => b.seconds - a.seconds

function groupBy<T>(items: readonly T[], key: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const of = key(item)
    groups.set(of, [...(groups.get(of) ?? []), item])
  }
  return [...groups.values()]
}

/**
 * A line an operation: calls and milliseconds a step, share of the step, effective GFLOP/s (arithmetic of the definition
 * over the time, whichever way was taken) and GB/s of what it reads and writes at least. What an operation runs inside
 * stands indented below it where it takes a hundredth of the step.
 */
export function profileTable({ steps, seconds, waitingSeconds, otherSeconds, rows }: ProfileReport): string {
  const line = (name: string, phase: string, cells: readonly string[]) =>
    [name.padEnd(30), phase.padEnd(9), ...cells.map((cell) => cell.padStart(9))].join(' ').trimEnd()
  const share = (part: number) => `${((100 * part) / seconds).toFixed(1)} %`
  const milliseconds = (part: number) => ((1000 * part) / steps).toFixed(2)
  const rowLine = (row: ProfileRow, indent = '') => {
    const rate = (amount: number, digits: number) => (amount === 0 ? '' : (amount / row.seconds / 1e9).toFixed(digits))
    const counts = [(row.calls / steps).toFixed(steps === 1 || Number.isInteger(row.calls / steps) ? 0 : 1)]
    const cells = [
      ...counts,
      milliseconds(row.seconds),
      share(row.seconds),
      rate(row.operations, 0),
      rate(row.bytes, 1),
    ]
    return line(indent + row.name, indent === '' ? row.phase : '', cells)
  }
  return [
    `profile of ${steps} ${steps === 1 ? 'step' : 'steps'} of ${milliseconds(seconds)} ms`,
    line('operation', 'phase', ['calls', 'ms', 'share', 'GFLOP/s', 'GB/s']),
    ...rows.flatMap((row) => [
      rowLine(row),
      ...row.inside.filter((inner) => inner.seconds >= 0.01 * seconds).map((inner) => rowLine(inner, '  ')),
    ]),
    line('waiting for data', '', ['', milliseconds(waitingSeconds), share(waitingSeconds)]),
    line('everything else', '', ['', milliseconds(otherSeconds), share(otherSeconds)]),
  ].join('\n')
}
