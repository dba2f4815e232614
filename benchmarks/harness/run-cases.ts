/** What `spt run` costs beside the bare step: every step, and from the command to the end of the first one. */
import { fileURLToPath } from 'node:url'
import { configuration } from '../run/configuration.js'
import type { Case } from './cases.js'
import { ours } from './contenders.js'
import type { Setting } from './options.js'
import { compared, medianOf, resultOf, type Result } from './results.js'
import { takeTurns, type Contender, type Timing } from './turns.js'

type RunCase = Case & { kind: 'run' }

const command = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url))

export function measureRun(work: RunCase, setting: Setting): Promise<(Result | Error)[]> {
  return work.what === 'start' ? measureStart(work, setting) : measureOverhead(work, setting)
}

const sptRun = ({ images }: RunCase, { threads, device }: Setting, probes: boolean): Contender => ({
  peer: 'ours',
  command: process.execPath,
  args: [command, 'run', configuration({ images, threads, device, probes })],
})

async function measureOverhead(work: RunCase, setting: Setting): Promise<(Result | Error)[]> {
  const bare = { ...ours(work, setting), peer: 'bare step' }
  const contenders = [bare, sptRun(work, setting, false), sptRun(work, setting, true)]
  const [alone, plain, probes] = await takeTurns(contenders, { runs: setting.runs, secondsPerTurn: 1 })
  const failed = [alone, plain, probes].filter((outcome) => outcome instanceof Error)
  if (failed.length > 0) return failed
  const result = (timing: Timing | Error | undefined, name: string, peer: string) =>
    ({ ...resultOf({ ...work, name }, setting, timing as Timing), peer }) as Result
  const beside = (name: string, timing: Timing | Error | undefined) => {
    const own = result(timing, name, 'ours')
    const reference = result(alone, name, 'bare step')
    const overhead = own.seconds_median / reference.seconds_median - 1
    return compared({ ...own, overhead: Number(overhead.toFixed(3)) }, [reference])
  }
  return [...beside(work.name, plain), ...beside(`${work.name}-probes`, probes)]
}

/** Several runs from their beginning; a steady step is measured in each, so that both come from the same minute. */
async function measureStart(work: RunCase, setting: Setting): Promise<(Result | Error)[]> {
  const begun: Timing[] = []
  for (let launch = 0; launch < (setting.runs ?? 3); launch++) {
    const [timing] = await takeTurns([sptRun(work, setting, false)], { runs: 4, rounds: 1 })
    if (timing === undefined || timing instanceof Error) return [timing ?? new Error('no run')]
    begun.push(timing)
  }
  const seconds = begun.map(({ notes }) => Number(notes['first_step_seconds']))
  const steady = medianOf(begun.flatMap((timing) => timing.seconds))
  const notes = {
    steady_seconds: Number(steady.toPrecision(4)),
    allowed_seconds: Number((2 * steady + 1.5).toPrecision(4)),
  }
  const { images_per_s: _none, ...result } = resultOf(work, setting, { ...begun[0]!, seconds, notes })
  return [result as Result]
}
