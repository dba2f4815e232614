/**
 * One run from its seed to its end: the folder it lives in, the checkpoint it goes on from, the signals that end it early.
 * How it trains is the trainer's business.
 */
import { join } from 'node:path'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { DataModule } from '../data/index.js'
import { argumentInvalid, checkpointMissing, SptError } from '../errors.js'
import { createRunDirectory, type RunDirectory, writeJson } from '../runs/run-directory.js'
import { manualSeed } from '../tensor/index.js'
import { environment } from './environment.js'
import type { TrainingModule } from './module.js'
import { listSkipped } from './skipped-samples.js'
import { exitStatus, type StopSignal, watchSignals } from './signals.js'
import type { FitStatus, Trainer } from './trainer.js'

export interface ManagerOptions {
  trainer: Trainer
  module: TrainingModule
  data: DataModule
  /** Of the order of the data, augmentation and everything random after the weights; from 0 to 2³² − 1. Default 0. */
  seed?: number
  /** A checkpoint to go on from, bit for bit if everything else is the same. */
  ckptPath?: string
  /** The run's own folder; a new one under `cacheDir` where absent. */
  runDirectory?: RunDirectory
  /** Runs are written to `<cacheDir>/YYYYMMDD/HHMMSS/<id>`; default `runs`. */
  cacheDir?: string
}

export interface RunResult {
  status: FitStatus
  /** The signal that ended it early. */
  signal?: StopSignal
  runDirectory: string
  checkpoint: string
  /** Newest value of every metric. */
  metrics: Record<string, number>
}

/** summary.json in the folder of a run: how it ended. It is there only when training came back. */
export interface RunSummary {
  readonly status: FitStatus
  readonly epochs: number
  readonly steps: number
  /** Of training and validation, those before it was resumed included. */
  readonly seconds: number
  /** The most memory the process had. */
  readonly peakProcessBytes: number
  /** Newest value of every metric. */
  readonly metrics: Record<string, number>
}

export const summaryFile = 'summary.json'

export class Manager {
  readonly trainer: Trainer
  readonly module: TrainingModule
  readonly data: DataModule
  readonly seed: number
  readonly #options: ManagerOptions

  constructor(options: ManagerOptions) {
    const { trainer, module, data, seed = 0, ckptPath } = options
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
      throw argumentInvalid('Manager: seed', 'an integer from 0 to 2^32 - 1', seed)
    }
    if (ckptPath !== undefined && !existsSync(ckptPath)) {
      throw checkpointMissing(ckptPath, 'Check the path; in a configuration it is taken from the folder of that file.')
    }
    this.trainer = trainer
    this.module = module
    this.data = data
    this.seed = seed
    this.#options = options
  }

  /**
   * Trains to the end, or until Ctrl-C or SIGTERM: then the step is finished, a checkpoint saved, and the process's exit
   * status set to 130 or 143. Whatever happens, the last checkpoint on the disk is whole.
   */
  async run(): Promise<RunResult> {
    const { trainer } = this
    const directory = this.#options.runDirectory ?? (await createRunDirectory(rootOf(this.#options)))
    const { ckptPath } = this.#options
    if (ckptPath === undefined && existsSync(directory.lastCheckpoint)) {
      throw new SptError('ERR_CHECKPOINT', `${directory.path} already holds the checkpoint of a run`, {
        hint: 'Go on with it by ckptPath (on the command line --resume), or start in another folder.',
      })
    }
    manualSeed(this.seed)
    this.data.setSeed(this.seed)
    trainer.runDirectory = directory.path
    trainer.checkpointPath = directory.lastCheckpoint
    await writeJson(
      join(directory.path, ckptPath === undefined ? 'environment.json' : 'environment-resumed.json'),
      await environment(),
    )

    trainer.print(`run: ${directory.path}`)
    const before = await secondsBefore(directory.path, ckptPath)
    const began = performance.now()
    let signal: StopSignal | undefined
    const release = watchSignals((received) => {
      signal = received
      trainer.print(`${received}: finishing this step and saving; once more ends at once`)
      trainer.interrupt()
    })
    const skipped = listSkipped(this.data, directory.path, (line) => trainer.print(line))
    try {
      const status = await trainer.fit(this.module, this.data, ckptPath === undefined ? {} : { ckptPath })
      await writeJson(join(directory.path, summaryFile), {
        status,
        epochs: trainer.currentEpoch,
        steps: trainer.globalStep,
        seconds: before + (performance.now() - began) / 1000,
        peakProcessBytes: process.resourceUsage().maxRSS * 1024,
        metrics: Object.fromEntries(trainer.latest),
      } satisfies RunSummary)
      if (status === 'interrupted' && signal !== undefined) {
        trainer.print(`stopped after step ${trainer.globalStep}; go on with: spt run --resume ${directory.path}`)
        process.exitCode = exitStatus[signal]
      } else for (const line of whatLiesWhere(directory.path)) trainer.print(line)
      return {
        status,
        ...(signal && { signal }),
        runDirectory: directory.path,
        checkpoint: directory.lastCheckpoint,
        metrics: Object.fromEntries(trainer.latest),
      }
    } catch (error) {
      // What follows is the error itself; this says what it did not touch.
      const usable = existsSync(directory.lastCheckpoint) && (ckptPath === undefined || trainer.resumed)
      if (usable) trainer.print(`the last checkpoint is whole; go on from it with: spt run --resume ${directory.path}`)
      throw error
    } finally {
      release()
      await this.data.dispose()
      await skipped.done()
    }
  }

  /** One pass over the validation data. */
  async validate(): Promise<Record<string, number>> {
    manualSeed(this.seed)
    this.data.setSeed(this.seed)
    return this.trainer.validate(this.module, this.data)
  }
}

/** What a run took until it was stopped; 0 where that is not known. */
async function secondsBefore(folder: string, ckptPath: string | undefined): Promise<number> {
  if (ckptPath === undefined) return 0
  const text = await readFile(join(folder, summaryFile), 'utf8').catch(() => '{}')
  return (JSON.parse(text) as Partial<RunSummary>).seconds ?? 0
}

const rootOf = ({ cacheDir }: ManagerOptions): { root?: string } => (cacheDir === undefined ? {} : { root: cacheDir })

/** The files a run leaves for people, with their places. */
function whatLiesWhere(folder: string): string[] {
  const kinds: Array<[string, string, RegExp]> = [
    ['checkpoints', 'checkpoints', /\.ckpt$/],
    ['metrics', '.', /^metrics\./],
    ['pictures and curves', '.', /\.(html|png)$/],
  ]
  return kinds.flatMap(([what, below, pattern]) => {
    const place = join(folder, below)
    const files = existsSync(place)
      ? readdirSync(place)
          .filter((file) => pattern.test(file))
          .toSorted()
      : []
    return files.length === 0 ? [] : [`${what}: ${files.map((file) => join(place, file)).join(' ')}`]
  })
}
