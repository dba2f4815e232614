/** The command `spt`, or a program that uses the library, in a process of its own, from the sources, as a person starts it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const fixtures = join(root, '__test__', 'fixtures')
/** A run of eight steps; its data and plugins lie beside it. */
export const tiny = join(fixtures, 'runs', 'tiny.yaml')

const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

export interface Finished {
  status: number | null
  signal: string | null
  /** Both streams, as they came. */
  output: string
  /** The folder of the run, as told; '' where none was. */
  directory: string
}

export interface Running {
  process: ChildProcess
  output(): string
  directory(): string | undefined
  end: Promise<Finished>
}

export interface StartOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Most bytes of a file it may write, as on a disk that fills up; a multiple of 1024. */
  largestFile?: number
}

/** Starts `spt` with these arguments. */
export const start = (args: readonly string[], options?: StartOptions): Running =>
  startScript(join(root, 'src/cli/main.ts'), args, options)

/** Starts a script, TypeScript or JavaScript, by its absolute path. */
export function startScript(
  script: string,
  args: readonly string[] = [],
  { cwd = root, env, largestFile }: StartOptions = {},
): Running {
  // The package's own name means its sources, wherever the command is started.
  const environment = { ...process.env, TSX_TSCONFIG_PATH: join(root, 'tsconfig.json'), ...env }
  const command = [process.execPath, '--import', loader, script, ...args]
  const child =
    largestFile === undefined
      ? spawn(command[0] as string, command.slice(1), { cwd, env: environment })
      : // Ignoring the signal makes the write fail, as a full disk does.
        spawn('bash', ['-c', `trap '' XFSZ; ulimit -f ${largestFile / 1024}; exec "$@"`, 'bash', ...command], {
          cwd,
          env: { ...environment, TSX_DISABLE_CACHE: '1' },
        })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part: Buffer) => (output += part.toString()))
  const directory = () => output.match(/^run: (.*)$/m)?.[1]
  const end = new Promise<Finished>((resolve) =>
    child.on('close', (status, signal) => resolve({ status, signal, output, directory: directory() ?? '' })),
  )
  return { process: child, output: () => output, directory, end }
}

export const spt = (args: readonly string[], options?: StartOptions): Promise<Finished> => start(args, options).end
