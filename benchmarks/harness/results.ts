/** A line a contender and case: what is printed, and kept for `RESULTS.md`. */
import type { ProfileReport, ProfileRow } from 'stable-pretraining'
import { imagesOf, operationsOf, type Case } from './cases.js'
import type { Setting } from './options.js'
import type { Timing } from './turns.js'

/** One contender's figures of one case. Seconds are of one run; `images_per_s` and `gflops` of the median run. */
export interface Result {
  /** `ours`, or the peer with its version and way. */
  readonly peer: string
  readonly case: string
  readonly seconds_min: number
  readonly seconds_median: number
  readonly images_per_s?: number
  readonly gflops?: number
  /** Most resident memory of the process, 10⁶ bytes. */
  readonly peak_mb: number
  /** Timed runs. */
  readonly n: number
  readonly device: string
  readonly precision: string
  readonly threads: number
  /** Cores that other processes kept busy meanwhile: above 0.2 the figures are no fair reading. */
  readonly others?: number
  /** Median of a peer over ours: above 1 we are faster. On our line that of the fastest peer, which `against` names. */
  readonly ratio?: number
  readonly against?: string
  /** Of our kernels, where it was asked for. */
  readonly instruction_set?: string
  /** Its GFLOP/s over the machine's, measured with as many threads; convolutions by Winograd's way may pass 1. */
  readonly of_peak?: number
  /** Operations of a step that take a hundredth of it, the longest first. */
  readonly kernels?: readonly Kernel[]
  /** What a step on a GPU started and moved, beside the least. */
  readonly gpu?: GpuStep
  readonly [note: string]: unknown
}

/** Where an operation of a step stands beside what the machine can do. */
export interface Kernel {
  readonly name: string
  readonly phase: string
  /** Of the step. */
  readonly share: number
  readonly gflops?: number
  readonly gb_per_s?: number
}

/** A step on a GPU: what it did, and what its operations come to if each is done once. */
export interface GpuStep {
  readonly dispatches: number
  /** A dispatch for each call of an operation; two where sums must be known before they are used. */
  readonly least_dispatches: number
  readonly submissions: number
  /** MiB that kernels were given to read, and to write. */
  readonly read_mib: number
  readonly written_mib: number
  /** MiB of the operations' inputs and results, each once. */
  readonly least_mib: number
  readonly kernels: ReadonlyArray<{ name: string; calls: number; dispatches: number; least: number; share?: number }>
}

/** What the machine can do at most, 10⁹ a second: multiplications and additions at the precision, and bytes of memory. */
export interface Peak {
  readonly gflops: number
  readonly gb_per_s: number
}

/** Figures of one contender without ratios. */
export function resultOf(work: Case, { device, precision, threads }: Setting, timing: Timing): Result {
  const median = medianOf(timing.seconds)
  const images = imagesOf(work)
  const operations = operationsOf(work)
  return {
    peer: timing.peer,
    case: work.name,
    seconds_min: digits(Math.min(...timing.seconds), 5),
    seconds_median: digits(median, 5),
    ...(images !== undefined && { images_per_s: digits(images / median, 5) }),
    ...(operations !== undefined && { gflops: digits(operations / median / 1e9, 4) }),
    peak_mb: Math.round(timing.peakMb),
    n: timing.seconds.length,
    device,
    precision,
    threads,
    ...(timing.others !== undefined && { others: digits(timing.others, 2) }),
    ...Object.fromEntries(Object.entries(timing.notes).filter(([name]) => name !== 'ready' && name !== 'profile')),
  }
}

/** The same with ratios: each peer's to ours, and on our line that of the fastest. */
export function compared(own: Result, peers: readonly Result[]): Result[] {
  const ratios = peers.map((peer) => ({ ...peer, ratio: digits(peer.seconds_median / own.seconds_median, 3) }))
  const fastest = ratios.toSorted((a, b) => a.seconds_median - b.seconds_median)[0]
  return fastest === undefined ? [own] : [{ ...own, ratio: fastest.ratio, against: fastest.peer }, ...ratios]
}

/** Our result beside the machine's peak: its share, and each operation's speed if the step was profiled. */
export function besidePeak(own: Result, peak: Peak, report?: ProfileReport): Result {
  const share = own.gflops === undefined ? {} : { of_peak: digits(own.gflops / peak.gflops, 3) }
  const kernels = report?.rows
    .filter(({ seconds }) => seconds >= 0.01 * report.seconds)
    .map(({ name, phase, seconds, operations, bytes }) => ({
      name,
      phase,
      share: digits(seconds / report.seconds, 3),
      ...(operations > 0 && { gflops: digits(operations / seconds / 1e9, 3) }),
      ...(bytes > 0 && { gb_per_s: digits(bytes / seconds / 1e9, 3) }),
    }))
  const { gflops, gb_per_s } = peak
  const measured = { peak_gflops: digits(gflops, 3), peak_gb_per_s: digits(gb_per_s, 3) }
  return {
    ...own,
    ...share,
    ...(share.of_peak !== undefined || kernels !== undefined ? measured : {}),
    ...(kernels && { kernels }),
  }
}

/** Operations that need a sum over their input before they can use it. */
const TWICE = /^batchNorm|^layerNorm|^groupNorm|^cross_entropy$/

/** Who did the work of a row: itself, or products inside of it, as in the backward pass of a convolution. */
function atWork(row: ProfileRow, started: ReadonlySet<string>): ProfileRow[] {
  const inside = row.inside.filter(({ name }) => started.has(name))
  if (inside.some(({ operations }) => operations > 0)) return inside.flatMap((each) => atWork(each, started))
  return started.has(row.name) ? [row] : inside
}

/** Our result on a GPU with the counts of a profiled step beside the least that its operations need. */
export function besideLeast(own: Result, { steps, rows, gpu }: ProfileReport): Result {
  if (gpu === undefined) return own
  const seconds = gpu.kernels.reduce((sum, kernel) => sum + kernel.seconds, 0)
  // Views cost nothing: only operations that started kernels count.
  const started = new Set(gpu.kernels.map(({ name }) => name))
  const done = rows.flatMap((row) => atWork(row, started))
  const kernels = gpu.kernels.map(({ name, dispatches, seconds: taken }) => {
    const calls = done.filter((row) => row.name === name).reduce((sum, row) => sum + row.calls, 0) / steps
    const least = Math.max(1, Math.ceil(calls)) * (TWICE.test(name) ? 2 : 1)
    return {
      name,
      calls: Math.ceil(calls),
      dispatches: dispatches / steps,
      least: Math.min(least, dispatches / steps),
      ...(seconds > 0 && { share: digits(taken / seconds, 3) }),
    }
  })
  const mib = (bytes: number): number => digits(bytes / steps / 2 ** 20, 4)
  const touched = done.reduce((sum, { bytes }) => sum + bytes, 0)
  return {
    ...own,
    gpu: {
      dispatches: gpu.dispatches / steps,
      least_dispatches: kernels.reduce((sum, { least }) => sum + least, 0),
      submissions: gpu.submissions / steps,
      read_mib: mib(gpu.readBytes),
      written_mib: mib(gpu.writtenBytes),
      least_mib: mib(touched),
      kernels,
    },
  }
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const digits = (value: number, count: number): number => Number(value.toPrecision(count))

/** A result for people, a line. */
export function lineOf(result: Result): string {
  const { threads, precision, others = 0 } = result
  const setting = `${precision}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`
  const parts = [
    result.case.padEnd(24),
    result.peer.padEnd(36),
    `${secondsText(result.seconds_median)} median, ${secondsText(result.seconds_min)} best of ${result.n}`.padEnd(44),
    result.images_per_s === undefined ? '' : `${result.images_per_s.toLocaleString('en-US')} images/s`,
    result.gflops === undefined ? '' : `${result.gflops.toFixed(0)} GFLOP/s${ofPeak(result)}`,
    `${result.peak_mb} MB`,
    result.ratio === undefined
      ? ''
      : `ratio ${result.ratio.toFixed(2)}${result.against ? ` to ${result.against}` : ''}`,
    others > 0.2 ? `(${others.toFixed(1)} cores busy with other work)` : '',
    `[${setting}]`,
  ]
  return parts.filter((part) => part !== '').join('  ')
}

/** As a rate is followed by it: ` (86 % of the peak)`. */
export const ofPeak = ({ of_peak: share }: Result): string =>
  share === undefined ? '' : ` (${(100 * share).toFixed(0)} % of the peak)`

export const secondsText = (seconds: number): string =>
  seconds < 1 ? `${(seconds * 1000).toPrecision(3)} ms` : `${seconds.toPrecision(4)} s`
