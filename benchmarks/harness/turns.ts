/**
 * Contenders that take turns: each is a process that prepares its work, then times as many runs as it is told to, a line
 * of JSON a turn, and says last what memory it took. What they compute is not known here.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'

/** A program that speaks the protocol of `ours/program.ts` and `peers/turns.py`. */
export interface Contender {
  /** `ours`, or a name until the program says its own with its version. */
  readonly peer: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** What a contender did. */
export interface Timing {
  /** Name and version, as the program says it. */
  readonly peer: string
  /** Seconds of each timed run, in order. */
  readonly seconds: readonly number[]
  /** Most resident memory of the process, in 10⁶ bytes. */
  readonly peakMb: number
  /** Cores that other processes kept busy during its runs; absent where the system does not tell. */
  readonly others?: number
  /** Whatever else the program said. */
  readonly notes: Readonly<Record<string, unknown>>
}

export interface TurnOptions {
  /** Timed runs of each contender; absent: what fits into `secondsPerTurn`. */
  readonly runs?: number | undefined
  readonly rounds?: number
  readonly secondsPerTurn?: number
  /** After that long without an answer a contender is given up. */
  readonly patience?: number
}

/** Between turns the threads of the contender before go to sleep: OpenMP's spin for a while after their last task. */
const pause = 60

/**
 * Lets the contenders run in turns: first, second, …, first, second, … A contender that fails is an Error in its place,
 * with what it printed; the others go on.
 */
export async function takeTurns(
  contenders: readonly Contender[],
  { runs, rounds = 5, secondsPerTurn = 0.3, patience = 600 }: TurnOptions = {},
): Promise<(Timing | Error)[]> {
  const programs: (Program | Error)[] = []
  const turns = runs === undefined ? rounds : Math.min(rounds, runs)
  try {
    // One after the other, so that nobody prepares (or compiles) while another is measured.
    for (const contender of contenders) programs.push(await attempt(() => Program.start(contender, patience)))
    for (let turn = 0; turn < turns; turn++) {
      for (const [place, program] of programs.entries()) {
        if (program instanceof Error) continue
        await wait(pause)
        const count = runs === undefined ? program.runsIn(secondsPerTurn) : share(runs, turn, turns)
        const outcome = await attempt(() => program.run(count))
        if (outcome instanceof Error) programs[place] = outcome
      }
    }
    const ended: (Timing | Error)[] = []
    for (const program of programs) ended.push(program instanceof Error ? program : await attempt(() => program.end()))
    return ended
  } finally {
    for (const program of programs) if (program instanceof Program) program.stop()
  }
}

const share = (runs: number, turn: number, turns: number): number =>
  Math.floor((runs * (turn + 1)) / turns) - Math.floor((runs * turn) / turns)

async function attempt<T>(action: () => Promise<T>): Promise<T | Error> {
  try {
    return await action()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

class Program {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #lines: Interface
  readonly #answers: AsyncIterator<string>
  readonly #patience: number
  readonly #title: string
  readonly #seconds: number[] = []
  #errors = ''
  #peer: string
  #once = 0
  #failure: Error | undefined
  #notes: Record<string, unknown> = {}
  #elapsed = 0
  #busyElsewhere: number | undefined = 0

  /** Starts it and waits until it is warm. */
  static async start(contender: Contender, patience: number): Promise<Program> {
    const program = new Program(contender, patience)
    try {
      const { peer, warm_seconds: once, ...notes } = await program.#answer('ready')
      program.#peer = typeof peer === 'string' ? peer : contender.peer
      program.#once = Number(once)
      program.#notes = notes
      return program
    } catch (error) {
      program.stop()
      throw error
    }
  }

  private constructor({ peer, command, args, env }: Contender, patience: number) {
    this.#peer = peer
    this.#title = peer
    this.#patience = patience
    this.#child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.on('error', (error) => (this.#failure = error))
    this.#child.stdin.on('error', () => undefined) // it is told by the missing answer
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors = (this.#errors + chunk.toString()).slice(-4000)))
    this.#lines = createInterface({ input: this.#child.stdout })
    this.#answers = this.#lines[Symbol.asyncIterator]()
  }

  /** How many runs fill a turn, by the last warm-up run. */
  runsIn(seconds: number): number {
    return Math.max(1, Math.min(200, Math.round(seconds / Math.max(this.#once, 1e-6))))
  }

  async run(count: number): Promise<void> {
    const [start, busy] = [performance.now(), busySeconds()]
    this.#child.stdin.write(`${count}\n`)
    const { seconds, cpu_seconds: own } = await this.#answer('seconds')
    this.#seconds.push(...(seconds as number[]))
    const now = busySeconds()
    this.#elapsed += (performance.now() - start) / 1000
    if (busy === undefined || now === undefined || this.#busyElsewhere === undefined) this.#busyElsewhere = undefined
    else this.#busyElsewhere += now - busy - Number(own)
  }

  async end(): Promise<Timing> {
    this.#child.stdin.end()
    const { peak_mb: peakMb, ...notes } = await this.#answer('peak_mb')
    const others = this.#busyElsewhere === undefined ? {} : { others: Math.max(0, this.#busyElsewhere / this.#elapsed) }
    const said = { ...this.#notes, ...notes }
    return { peer: this.#peer, seconds: this.#seconds, peakMb: Number(peakMb), ...others, notes: said }
  }

  stop(): void {
    this.#lines.close()
    this.#child.kill('SIGKILL')
  }

  /** The next line that is an answer; programs and their libraries may print others. */
  async #answer(key: string): Promise<Record<string, unknown>> {
    const deadline = new AbortController()
    const late = wait(this.#patience * 1000, 'late' as const, { signal: deadline.signal }).catch(() => 'late' as const)
    try {
      for (;;) {
        const next = await Promise.race([this.#answers.next(), late])
        if (next === 'late') throw this.#error(`gave no answer within ${this.#patience} s`)
        if (next.done === true) throw this.#error('ended before it had answered')
        if (!next.value.startsWith('{"')) continue
        const answer = JSON.parse(next.value) as Record<string, unknown>
        if (key in answer) return answer
      }
    } finally {
      deadline.abort()
    }
  }

  #error(what: string): Error {
    const said = this.#failure?.message ?? this.#errors.trim().split('\n').slice(-12).join('\n')
    return new Error(`${this.#title} ${what}${said === '' ? '' : `:\n${said}`}`)
  }
}

/** Seconds that all cores were busy since the start. Linux counts hundredths: user, nice, system, idle, iowait, irq, softirq. */
function busySeconds(): number | undefined {
  try {
    const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0] = readFileSync('/proc/stat', 'utf8')
      .split('\n', 1)[0]!
      .trim()
      .split(/\s+/)
      .slice(1)
      .map(Number)
    return (user + nice + system + irq + soft) / 100
  } catch {
    return undefined
  }
}
