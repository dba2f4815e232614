/**
 * The folder of one run: `<root>/YYYYMMDD/HHMMSS/<id>` with config.yaml, run.json, environment.json, metrics and
 * checkpoints. It knows how a run is laid out and nothing of what is in a checkpoint.
 */
import { randomBytes } from 'node:crypto'
import { access, mkdir, readFile, rm, rmdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { SptError, checkpointMissing, fileUnwritable, reason } from '../errors.js'
import { removeHalfWritten, writeFileAtomically } from './atomic-file.js'

export interface RunDirectory {
  /** Absolute. */
  readonly path: string
  /** 12 hexadecimal digits. */
  readonly id: string
  /** The newest checkpoint; resuming starts from it. */
  readonly lastCheckpoint: string
}

/** run.json: what is needed to go on with a run from another place. */
export interface RunRecord {
  readonly version: 1
  readonly id: string
  readonly createdAt: string
  /** The configuration file it was started from, absolute; null when it was started from a program. */
  readonly configFile: string | null
  /** Where relative paths of the configuration start, absolute. */
  readonly folder: string
}

/** Where runs go: given, else the environment's SPT_CACHE_DIR/runs, else ./runs. */
export function runsRoot(given?: string): string {
  const root =
    given ?? (process.env['SPT_CACHE_DIR'] === undefined ? 'runs' : join(process.env['SPT_CACHE_DIR'], 'runs'))
  return resolve(root.replace(/^~(?=$|[/\\])/, homedir()))
}

/** Makes a new folder under `root`; never one that exists. ERR_CHECKPOINT where it cannot be made. */
export async function createRunDirectory(
  options: { root?: string; configFile?: string; folder?: string; now?: Date } = {},
): Promise<RunDirectory> {
  const now = options.now ?? new Date()
  const id = randomBytes(6).toString('hex')
  const [date, time] = [
    now.getFullYear(),
    now.getMonth() + 1,
    now.getDate(),
    now.getHours(),
    now.getMinutes(),
    now.getSeconds(),
  ]
    .map((part) => String(part).padStart(2, '0'))
    .reduce<[string, string]>(
      ([day, clock], part, index) => (index < 3 ? [day + part, clock] : [day, clock + part]),
      ['', ''],
    )
  const path = join(runsRoot(options.root), date, time, id)
  await mkdir(join(path, 'checkpoints'), { recursive: true }).catch((cause: unknown) => {
    throw fileUnwritable(path, cause)
  })
  const record: RunRecord = {
    version: 1,
    id,
    createdAt: now.toISOString(),
    configFile: options.configFile === undefined ? null : resolve(options.configFile),
    folder: resolve(options.folder ?? '.'),
  }
  await writeJson(join(path, 'run.json'), record)
  return runDirectory(path, id)
}

/** An existing run, to be gone on with. Raises ERR_CHECKPOINT where there is none, or nothing was saved yet. */
export async function openRunDirectory(path: string): Promise<{ directory: RunDirectory; record: RunRecord }> {
  const absolute = resolve(path)
  const file = join(absolute, 'run.json')
  let record: RunRecord
  try {
    record = JSON.parse(await readFile(file, 'utf8')) as RunRecord
  } catch (cause) {
    const absent = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new SptError(
      'ERR_CHECKPOINT',
      absent ? `${absolute} is not the folder of a run: there is no run.json` : `${file}: ${reason(cause)}`,
      {
        cause,
        hint: 'Give the folder that `spt run` named when it started, such as runs/20260131/120000/0123456789ab.',
      },
    )
  }
  const directory = runDirectory(absolute, record.id)
  await access(directory.lastCheckpoint).catch(() => {
    throw checkpointMissing(directory.lastCheckpoint, 'The run ended before it saved anything; start it again.')
  })
  for (const folder of [absolute, join(absolute, 'checkpoints')]) await removeHalfWritten(folder)
  return { directory, record }
}

/** Takes back a folder in which no run came about, and the folders of its day and time where they are empty now. */
export async function removeRunDirectory({ path }: RunDirectory): Promise<void> {
  await rm(path, { recursive: true, force: true })
  for (const parent of [dirname(path), dirname(dirname(path))]) await rmdir(parent).catch(() => undefined)
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomically(path, `${JSON.stringify(value, null, 2)}\n`)
}

function runDirectory(path: string, id: string): RunDirectory {
  return { path, id, lastCheckpoint: join(path, 'checkpoints', 'last.ckpt') }
}
