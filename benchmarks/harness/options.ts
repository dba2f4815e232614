/** What may be typed after `npm run bench --`. */
import { parseArgs } from 'node:util'
import { availableParallelism } from 'node:os'
import { casesOf, groups, type Case } from './cases.js'

export type Precision = 'fp32' | 'bf16-mixed' | '16-mixed'
/** As tensors name it. */
export type Device = 'cpu' | 'gpu' | `gpu:${string}`

/** How the cases are run; the same for us and for the peers. */
export interface Setting {
  readonly device: Device
  readonly precision: Precision
  readonly threads: number
  /** Timed runs of each contender; absent: as many as its time allows. */
  readonly runs: number | undefined
}

export interface BenchOptions {
  readonly cases: readonly Case[]
  /** One a precision and a number of threads. */
  readonly settings: readonly Setting[]
  readonly json: boolean
  readonly peer: boolean
  readonly write: boolean
  readonly profile: boolean
  readonly instructionSet?: string
}

export const usage = `usage: npm run bench -- <case…> [options]

cases: ${Object.keys(groups).join(', ')}; or one of theirs by its full name, such as conv-64x64x32-fwd

  --peer              the same work by PyTorch (JAX, albumentations, torchvision) in turns with ours, and the ratio
  --precision P       fp32 (default), bf16-mixed (16-mixed on a GPU), or both as fp32,bf16-mixed
  --device D          cpu (default), gpu, gpu:1 or gpu:<part of its name>
  --batch N           images a view
  --threads N         threads of each contender (default: one a core); 1,2 runs each case with one and with two
  --runs N            timed runs of each contender
  --profile           time by operation of our training steps
  --instruction-set S of our kernels: avx512, avx2, neon, portable
  --json              a line of JSON a result
  --write             puts the results into benchmarks/RESULTS.md`

/** @throws an Error that says what was expected. */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      batch: { type: 'string' },
      device: { type: 'string', default: 'cpu' },
      json: { type: 'boolean', default: false },
      peer: { type: 'boolean', default: false },
      precision: { type: 'string', default: 'fp32' },
      profile: { type: 'boolean', default: false },
      'instruction-set': { type: 'string' },
      runs: { type: 'string' },
      threads: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  })
  if (positionals.length === 0) throw new Error(`no case was given\n\n${usage}`)
  if (!/^(cpu|gpu(:.+)?)$/.test(values.device))
    throw new Error(`--device: expected cpu, gpu, gpu:1 or gpu:<part of a name>, got "${values.device}"`)
  const device = values.device as Device
  if (device !== 'cpu' && values.peer)
    throw new Error(`--peer: the peers compute on the CPU; leave --device ${device} or --peer away`)
  const precisions = values.precision
    .split(',')
    .map((name) => oneOf<Precision>('--precision', name, ['fp32', 'bf16-mixed', '16-mixed']))
  const half = device === 'cpu' ? '16-mixed' : 'bf16-mixed'
  if (precisions.includes(half)) throw new Error(`--precision ${half} is not for --device ${device}`)
  const threads = values.threads?.split(',').map((text) => whole('--threads', text)) ?? [availableParallelism()]
  const runs = values.runs === undefined ? undefined : whole('--runs', values.runs)
  const batch = values.batch === undefined ? undefined : whole('--batch', values.batch)
  const set = values['instruction-set'] ?? (process.env['SPT_INSTRUCTION_SET'] || undefined)
  return {
    cases: casesOf(positionals, batch),
    settings: precisions.flatMap((precision) => threads.map((count) => ({ device, precision, threads: count, runs }))),
    json: values.json,
    peer: values.peer,
    write: values.write,
    profile: values.profile,
    ...(set !== undefined && { instructionSet: set }),
  }
}

function oneOf<T extends string>(option: string, given: string, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === given)
  if (found === undefined) throw new Error(`${option}: expected ${allowed.join(' or ')}, got "${given}"`)
  return found
}

function whole(option: string, text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1) return value
  throw new Error(`${option}: expected a whole number from 1, got "${text}"`)
}
