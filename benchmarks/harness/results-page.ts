/**
 * `RESULTS.md` and what it is made of: `results.jsonl`, a line a result with where it came from. The page is a function of
 * the lines alone; a case that is measured again replaces its lines.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { cpuInfo } from '../../src/native.js'
import { packageVersion } from '../../src/runs/package-version.js'
import { writeFileAtomically } from '../../src/runs/atomic-file.js'
import { learningSection, merged, type Learnt } from './learning.js'
import { type GpuStep, ofPeak, secondsText, type Result } from './results.js'

/** Where and from what results came. */
export interface Origin {
  /** YYYY-MM-DD. */
  readonly date: string
  /** Short hash; with `+` where files were changed since. */
  readonly commit: string
  readonly machine: string
  readonly versions: string
  readonly command: string
}

export interface Recorded extends Result {
  readonly origin: Origin
}

export function originOf(args: readonly string[]): Origin {
  const core = cpuInfo()
  const git = (...words: string[]) => execFileSync('git', words, { cwd: import.meta.dirname, encoding: 'utf8' }).trim()
  let commit = 'unknown'
  try {
    // The results themselves may have changed since.
    const changed = git('status', '--porcelain', '--untracked-files=no').split('\n')
    const own = /benchmarks\/(RESULTS\.md|results\.jsonl|learning\.jsonl)$/
    const others = changed.filter((line) => line !== '' && !own.test(line))
    commit = `${git('rev-parse', '--short=10', 'HEAD')}${others.length === 0 ? '' : '+'}`
  } catch {
    // A copy without its history has none to name.
  }
  return {
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, ${core.instructionSet}`,
    versions: `stable-pretraining ${packageVersion()}, Node ${process.versions.node}, ${process.platform}-${process.arch}`,
    command: ['npm run bench --', ...args.filter((word) => word !== '--write' && word !== '--json')].join(' '),
  }
}

/** Puts results into the folder's `results.jsonl`, in place of those of the same case and setting, and writes the page. */
export async function record(folder: string, results: readonly Result[], origin: Origin): Promise<void> {
  const before = linesOf<Recorded>(folder, 'results.jsonl')
  const replaced = new Set(results.map(keyOf))
  const kept = before.filter((result) => !replaced.has(keyOf(result)))
  const all = [...kept, ...results.map((result) => ({ ...result, origin }))]
  await writeLines(folder, 'results.jsonl', all)
  await writePage(folder)
}

/** Puts what methods learnt into the folder's `learning.jsonl`, in place of rows of the same name, and writes the page. */
export async function recordLearning(folder: string, rows: readonly Learnt[]): Promise<void> {
  await writeLines(folder, 'learning.jsonl', merged(linesOf<Learnt>(folder, 'learning.jsonl'), rows))
  await writePage(folder)
}

const writePage = (folder: string): Promise<void> => writeFileAtomically(join(folder, 'RESULTS.md'), pageOf(folder))

/** The page that the lines in a folder make. */
export const pageOf = (folder: string): string =>
  page(linesOf<Recorded>(folder, 'results.jsonl'), linesOf<Learnt>(folder, 'learning.jsonl'))

const writeLines = (folder: string, name: string, lines: readonly object[]): Promise<void> =>
  writeFileAtomically(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))

/** The objects of a file with one a line; none where there is no file. */
export function linesOf<T>(folder: string, name: string): T[] {
  const file = join(folder, name)
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T)
}

/** A case under a setting, on a machine, with or without peers beside it: what is shown once. */
const keyOf = ({ case: name, device, precision, threads, instruction_set: set, ratio }: Result): string =>
  [name, device, precision, threads, set, ratio !== undefined].join(' ')

/** The page: what methods learnt, then a section for each run of the bench, a table in it, a row a case. */
function page(results: readonly Recorded[], learnt: readonly Learnt[]): string {
  const sections = new Map<string, Recorded[]>()
  for (const result of results) {
    const { date, commit, machine, command } = result.origin
    const key = JSON.stringify([date, commit, machine, command])
    sections.set(key, [...(sections.get(key) ?? []), result])
  }
  const parts = [head, learningSection(learnt), ...[...sections.values()].map(section)]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

const head = `# Results

Written by \`npm run bench -- <case…> --peer --write\` from \`results.jsonl\`; what each case does is in [README.md](README.md).
Seconds are medians of runs taken in turns with the peers, each in a process of its own. **Ratio**: the peer's median over
ours; above 1 we are faster. Memory is the most a process had resident. *Busy* are cores that other programs of the machine
took meanwhile: above 0.2 neither seconds nor ratios are a fair reading, since some wait for all their threads in other ways than
others. GFLOP/s count the direct way of a convolution, whichever way was taken.

**Of the peak**: beside what the machine did in the same minutes with as many threads, multiply-adds from registers (\`measureCpuPeak\`) for
GFLOP/s, \`a = b + s·c\` over arrays larger than the caches for GB/s. Winograd's way does a convolution of 3×3 with a quarter of
the multiplications, so it may pass 100 %; caches may do so for GB/s. Bytes are those an operation reads and writes at least.`

function section(results: readonly Recorded[]): string {
  const { date, commit, machine, versions, command } = results[0]!.origin
  const cases = [...new Set(results.map(keyOf))]
  const rows = cases.map((key) => row(results.filter((result) => keyOf(result) === key)))
  return `## ${date}: \`${command}\`

${machine}; ${versions}; commit ${commit}.

| case | setting | ours | speed | memory | peers | busy |
| --- | --- | --- | --- | --- | --- | --- |
${[
  rows.join('\n'),
  ...results.filter(({ kernels }) => kernels !== undefined).map(kernelTable),
  ...results.flatMap((result) => (result.gpu === undefined ? [] : [gpuTable(result, result.gpu)])),
].join('\n\n')}`
}

/** What a step on a GPU starts and moves, beside the least. */
function gpuTable({ case: name, precision }: Recorded, step: GpuStep): string {
  const { dispatches, least_dispatches: least, submissions, read_mib: read, written_mib: written } = step
  const lines = step.kernels.map(
    (kernel) =>
      `| ${kernel.name} | ${kernel.calls} | ${kernel.dispatches} | ${kernel.least} | ${kernel.share === undefined ? '' : `${(100 * kernel.share).toFixed(1)} %`} |`,
  )
  return `A step of \`${name}\`, ${precision}: ${dispatches} dispatches, of which ${least} at least, in ${submissions} ${submissions === 1 ? 'submission' : 'submissions'}; kernels read ${read} MiB
and write ${written} MiB, and the inputs and results of its operations, each once, are ${step.least_mib} MiB:

| operation | calls | dispatches | least | share of the kernels' time |
| --- | --- | --- | --- | --- |
${lines.join('\n')}`
}

/** What a step consists of, and where each part stands beside the machine's peak. */
function kernelTable({ case: name, precision, threads, kernels = [], ...rest }: Recorded): string {
  const [flops, bytes] = [rest['peak_gflops'] as number, rest['peak_gb_per_s'] as number]
  const rate = (value: number | undefined, peak: number) =>
    value === undefined ? ' | ' : `${value.toPrecision(3)} | ${((100 * value) / peak).toFixed(0)} %`
  const lines = kernels.map(
    (kernel) =>
      `| ${kernel.name} | ${kernel.phase} | ${(100 * kernel.share).toFixed(1)} % | ${rate(kernel.gflops, flops)} | ${rate(kernel.gb_per_s, bytes)} |`,
  )
  return `Operations of \`${name}\`, ${precision}, ${threads} ${threads === 1 ? 'thread' : 'threads'}; peak ${flops} GFLOP/s, ${bytes} GB/s:

| operation | phase | share | GFLOP/s | of the peak | GB/s | of the peak |
| --- | --- | --- | --- | --- | --- | --- |
${lines.join('\n')}`
}

function row(results: readonly Recorded[]): string {
  const own = results.find(({ peer }) => peer === 'ours')
  const any = results[0]!
  const setting = [
    any.precision,
    `${any.threads} ${any.threads === 1 ? 'thread' : 'threads'}`,
    ...(any.device === 'cpu' ? [] : [any.device]),
    ...(any.instruction_set === undefined ? [] : [any.instruction_set]),
  ]
  const peers = results
    .filter((result) => result !== own)
    .map((peer) => {
      const ratio = peer.ratio === undefined ? '' : ` **${peer.ratio.toFixed(2)}**`
      return `${peer.peer} ${secondsText(peer.seconds_median)}${ratio} (${peer.peak_mb} MB)`
    })
  const busy = Math.max(0, ...results.map(({ others = 0 }) => others))
  const cells = [
    any.case,
    setting.join(', '),
    own === undefined ? 'failed' : secondsText(own.seconds_median),
    own === undefined ? '' : speedOf(own),
    own === undefined ? '' : `${own.peak_mb} MB`,
    peers.join('<br>'),
    busy.toFixed(1),
  ]
  return `| ${cells.join(' | ')} |`
}

function speedOf(result: Result): string {
  const { images_per_s: images, gflops } = result
  const parts = [
    images === undefined ? '' : `${Math.round(images).toLocaleString('en-US')} images/s`,
    gflops === undefined ? '' : `${gflops.toFixed(0)} GFLOP/s${ofPeak(result)}`,
  ]
  return parts.filter((part) => part !== '').join(', ')
}
