/** Where time goes, by operation: the core's counts as a report and as a table. Whose steps those are is not known here. */
import {
  type DeviceName,
  type KernelTime,
  type ProfileEntry,
  setKernelTiming,
  setProfiling,
  takeKernelTimes,
  takeProfile,
} from '../native.js'

export { setKernelTiming, setProfiling, takeKernelTimes, takeProfile, type KernelTime, type ProfileEntry }

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
  /** Where a GPU computed. */
  readonly gpu?: GpuWork | undefined
}

/** What a GPU did in some steps. */
export interface GpuWork {
  readonly device: DeviceName
  /** Kernels started, command buffers handed over, kernels compiled. */
  readonly dispatches: number
  readonly submissions: number
  readonly pipelines: number
  /** Bytes that kernels and copies could read and write, of what was bound to them. */
  readonly readBytes: number
  readonly writtenBytes: number
  /** Bytes from and to host memory. */
  readonly uploadedBytes: number
  readonly downloadedBytes: number
  /** Kernels by operation, the longest first; empty where the adapter has no timestamps. */
  readonly kernels: readonly KernelTime[]
}

/** Sums entries by operation and phase; together with waiting and the rest they are the seconds given. */
export function profileReport(
  entries: readonly ProfileEntry[],
  {
    steps,
    seconds,
    waitingSeconds = 0,
    gpu,
  }: { steps: number; seconds: number; waitingSeconds?: number; gpu?: GpuWork | undefined },
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
  return {
    steps,
    seconds,
    waitingSeconds,
    otherSeconds,
    rows: rows.toSorted(longestFirst),
    entries,
    ...(gpu && { gpu }),
  }
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
export function profileTable({ steps, seconds, waitingSeconds, otherSeconds, rows, gpu }: ProfileReport): string {
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
    `profile of ${steps} ${steps === 1 ? 'step' : 'steps'} of ${milliseconds(seconds)} ms${gpu ? `; operations on ${gpu.device} take the time to record them` : ''}`,
    line('operation', 'phase', ['calls', 'ms', 'share', 'GFLOP/s', 'GB/s']),
    ...rows.flatMap((row) => [
      rowLine(row),
      ...row.inside.filter((inner) => inner.seconds >= 0.01 * seconds).map((inner) => rowLine(inner, '  ')),
    ]),
    line('waiting for data', '', ['', milliseconds(waitingSeconds), share(waitingSeconds)]),
    line('everything else', '', ['', milliseconds(otherSeconds), share(otherSeconds)]),
    ...(gpu ? ['', gpuTable(gpu, steps)] : []),
  ].join('\n')
}

/** What a GPU did a step: counts and bytes, then a line an operation with its kernels and their time. */
export function gpuTable(gpu: GpuWork, steps: number): string {
  const each = (amount: number) => (amount / steps).toFixed(Number.isInteger(amount / steps) ? 0 : 1)
  const mebibytes = (bytes: number) => `${(bytes / steps / 2 ** 20).toFixed(2)} MiB`
  const total = gpu.kernels.reduce((sum, { seconds }) => sum + seconds, 0)
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(30) : cell.padStart(12))).join(' ')
  return [
    `${gpu.device}, a step: ${each(gpu.dispatches)} dispatches, ${each(gpu.submissions)} submissions, ${each(gpu.pipelines)} pipelines compiled`,
    `  kernels read ${mebibytes(gpu.readBytes)} and write ${mebibytes(gpu.writtenBytes)}; ${mebibytes(gpu.uploadedBytes)} go there, ${mebibytes(gpu.downloadedBytes)} come back`,
    ...(gpu.kernels.length === 0
      ? ['  the adapter has no timestamps: no time by operation']
      : [
          line(['kernels of', 'dispatches', 'ms', 'share']),
          ...gpu.kernels.map(({ name, dispatches, seconds }) =>
            line([
              name,
              each(dispatches),
              ((1000 * seconds) / steps).toFixed(3),
              `${((100 * seconds) / (total || 1)).toFixed(1)} %`,
            ]),
          ),
        ]),
  ].join('\n')
}
