/**
 * Our side of a case, as a process: prepares the work that its argument names, says that it is warm, then times as many
 * runs as each line of its input asks for. At the end of the input it says what memory it took.
 */
import { createInterface } from 'node:readline'
import * as sp from 'stable-pretraining'
import type { Case } from '../harness/cases.js'
import type { Setting } from '../harness/options.js'
import { forceInstructionSet } from '../../src/native.js'
import { GpuMeter } from '../../src/train/gpu-meter.js'
import { augmentation } from './augment.js'
import { bareStep } from './bare-step.js'
import { convolution, product } from './kernels.js'
import { neighbours } from './neighbours.js'
import { reading } from './reading.js'
import { trainingStep } from './steps.js'

/** One run of a case, and what else is worth saying. */
export interface Work {
  /** What it returns is waited for and freed. */
  run(): void | sp.Tensor | Promise<void>
  notes?(): Record<string, unknown>
}

/** What `program.ts` is told. */
export interface Order {
  readonly work: Case
  readonly setting: Setting
  readonly instructionSet?: string
  /** Counts operations, in runs of its own behind the timed ones. */
  readonly profile: boolean
}

const { work, setting, instructionSet, profile } = JSON.parse(process.argv[2] ?? 'null') as Order
const narrow = work.kind === 'gemm' || work.kind === 'conv' || work.kind === 'step'
if (setting.precision !== 'fp32' && !narrow) throw new Error(`${work.kind}: computes in float32 only`)
sp.manualSeed(0)
sp.setNumThreads(setting.threads)
sp.setDefaultDevice(setting.device)
if (instructionSet !== undefined) forceInstructionSet(instructionSet)

const prepared = await prepare(work, setting)
const seconds = async () => {
  const start = performance.now()
  const result = await prepared.run()
  // A GPU runs behind: the time ends when a number of the result has arrived.
  if (result instanceof sp.Tensor) {
    if (setting.device !== 'cpu') await result.flatten().narrow(0, 0, 1).data()
    result.dispose()
  }
  return (performance.now() - start) / 1000
}

await seconds()
const warm = await seconds()
answer({ ready: true, peer: 'ours', warm_seconds: warm })
for await (const line of createInterface({ input: process.stdin })) {
  const before = process.cpuUsage()
  const measured: number[] = []
  for (let run = 0; run < Number(line); run++) measured.push(await seconds())
  const { user, system } = process.cpuUsage(before)
  answer({ seconds: measured, cpu_seconds: (user + system) / 1e6 })
}
const peakMb = (process.resourceUsage().maxRSS * 1024) / 1e6
answer({ peak_mb: peakMb, ...prepared.notes?.(), ...(profile && { profile: await profiled(3) }) })

function prepare(work: Case, setting: Setting): Work | Promise<Work> {
  switch (work.kind) {
    case 'gemm':
      return product(work, setting)
    case 'conv':
      return convolution(work, setting)
    case 'step':
      return trainingStep(work, setting)
    case 'augment':
      return augmentation(work, setting)
    case 'decode':
    case 'parquet':
      return reading(work, setting)
    case 'knn':
      return neighbours(work)
    case 'run':
      return bareStep(work, setting)
  }
}

async function profiled(steps: number): Promise<sp.ProfileReport> {
  let total = 0
  const meter = setting.device === 'cpu' ? undefined : new GpuMeter(setting.device)
  sp.setProfiling(true)
  for (let step = 0; step < steps; step++) total += await seconds()
  sp.setProfiling(false)
  const gpu = meter?.take()
  meter?.stop()
  return sp.profileReport(sp.takeProfile(), { steps, seconds: total, gpu })
}

function answer(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
