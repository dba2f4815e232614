/** `spt run`: from what was typed to a running Manager. How a run is put together is in `app/run.ts`. */
import { existsSync } from 'node:fs'
import { resumeRun, startRun } from '../app/run.js'
import { suggest } from '../config/suggest.js'
import { SptError, configFileMissing } from '../errors.js'

const commands = ['run', 'doctor', 'plugins', 'schema']

export async function run(
  config: string | undefined,
  overrides: readonly string[],
  resume: string | undefined,
): Promise<number> {
  if (resume !== undefined) {
    const changes = config === undefined ? overrides : [config, ...overrides]
    return statusOf(await resumeRun(resume, changes))
  }
  if (config === undefined) {
    throw new SptError('ERR_CONFIG', 'no configuration file was given', {
      hint: 'For example: spt run examples/simclr-photos.yaml',
    })
  }
  return statusOf(await startRun(locate(config), overrides))
}

/** The file as named, or with its ending left out. */
function locate(name: string): string {
  const found = [name, `${name}.yaml`, `${name}.yml`].find((path) => existsSync(path))
  if (found !== undefined) return found
  const near = suggest(name, commands)
  throw configFileMissing(name, near === undefined ? undefined : `Did you mean the command "spt ${near}"?`)
}

/** A run that a signal ended has saved and says so by the status that shells expect. */
function statusOf({ signal }: { signal?: 'SIGINT' | 'SIGTERM' }): number {
  return signal === undefined ? 0 : signal === 'SIGINT' ? 130 : 143
}
