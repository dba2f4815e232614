/**
 * Measures our work, and with `--peer` the same work of PyTorch and others in turns with it; see `README.md` beside it.
 *
 * Usage: npm run bench -- <case…> [--peer] [--precision fp32|bf16-mixed] [--batch N] [--threads N] [--runs N] [--json] [--write]
 */
import { join, relative } from 'node:path'
import { profileTable, type ProfileReport } from 'stable-pretraining'
import { readOptions, usage, type BenchOptions, type Setting } from './harness/options.js'
import type { Case } from './harness/cases.js'
import { ours, peersOf } from './harness/contenders.js'
import { besideLeast, besidePeak, compared, lineOf, resultOf, type Peak, type Result } from './harness/results.js'
import { originOf, record } from './harness/results-page.js'
import { measureRun } from './harness/run-cases.js'
import { takeTurns, type Contender } from './harness/turns.js'
import { forceInstructionSet, measureCpuPeak, setNumThreads } from '../src/native.js'

let failures = 0
const told = new Set<string>()
const peaks = new Map<string, Peak>()
const options = read()
const origin = originOf(process.argv.slice(2))
for (const work of options.cases) {
  for (const setting of options.settings) {
    if (setting.precision !== 'fp32' && !['gemm', 'conv', 'step'].includes(work.kind)) {
      console.error(`${work.name}: it has no ${setting.precision}, only fp32; left out`)
      continue
    }
    const results = await measure(work, setting)
    for (const result of results) console.log(options.json ? JSON.stringify(result) : lineOf(result))
    // Each case as it is done: a table that was stopped half-way keeps what it has.
    if (options.write) await record(import.meta.dirname, results, origin)
  }
}
if (options.write) console.error(`written to ${relative(process.cwd(), join(import.meta.dirname, 'RESULTS.md'))}`)
process.exitCode = failures === 0 ? 0 : 1

function read(): BenchOptions {
  if (process.argv.slice(2).some((word) => word === '--help' || word === '-h')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    process.exit(2)
  }
}

async function measure(work: Case, setting: Setting): Promise<Result[]> {
  if (work.kind === 'run') {
    const outcomes = await measureRun(work, setting)
    for (const outcome of outcomes) if (outcome instanceof Error) fail(`${work.name}: ${outcome.message}`)
    return outcomes.filter((outcome): outcome is Result => !(outcome instanceof Error))
  }
  const peers = options.peer ? peersOf(work, setting) : []
  // A page of results also says what the steps consist of.
  const profile = (options.profile || options.write) && work.kind === 'step'
  const { instructionSet } = options
  const contenders: Contender[] = [
    ours(work, setting, { profile, ...(instructionSet !== undefined && { instructionSet }) }),
  ]
  for (const peer of peers)
    if (peer instanceof Error) fail(peer.message)
    else contenders.push(peer)
  const rounds = work.kind === 'augment' ? 3 : 5
  const outcomes = await takeTurns(contenders, { rounds, runs: setting.runs })
  for (const outcome of outcomes) if (outcome instanceof Error) fail(`${work.name}: ${outcome.message}`)
  const named = instructionSet === undefined ? {} : { instruction_set: instructionSet }
  const results = outcomes.map((outcome) =>
    outcome instanceof Error ? undefined : { ...resultOf(work, setting, outcome), ...named },
  )
  const [own, ...others] = results
  const report = outcomes[0] instanceof Error ? undefined : (outcomes[0]?.notes['profile'] as ProfileReport | undefined)
  if (options.profile && report !== undefined) console.error(`${work.name}: ${profileTable(report)}`)
  const found = others.filter((result) => result !== undefined)
  if (own === undefined) return found
  if (setting.device === 'cpu') return compared(besidePeak(own, peakOf(setting), report), found)
  return compared(report === undefined ? own : besideLeast(own, report), found)
}

/** The peak of this machine with the threads of a setting, measured once for each. */
function peakOf({ threads, precision }: Setting): Peak {
  const key = `${threads} ${precision}`
  const known = peaks.get(key)
  if (known !== undefined) return known
  if (options.instructionSet !== undefined) forceInstructionSet(options.instructionSet)
  setNumThreads(threads)
  const { float32, bfloat16, bytes } = measureCpuPeak()
  const peak = { gflops: (precision === 'fp32' ? float32 : (bfloat16 ?? float32)) / 1e9, gb_per_s: bytes / 1e9 }
  peaks.set(key, peak)
  return peak
}

function fail(message: string): void {
  failures++
  if (!told.has(message)) console.error(message)
  told.add(message)
}
