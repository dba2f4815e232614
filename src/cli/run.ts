/** `spt run`: from what was typed to a running Manager. How a run is put together is in `app/run.ts`. */
import { existsSync } from 'node:fs'
import { resumeRun, startRun } from '../app/run.js'
import { suggest } from '../config/suggest.js'
import { SptError, configFileMissing, notACommand } from '../errors.js'

const commands = ['run', 'data', 'bench', 'doctor', 'export', 'methods', 'plugins', 'schema', 'summary']

export async function run(
  config: string | undefined,
  overrides: readonly string[],
  { resume, profile = false }: { resume?: string; profile?: boolean } = {},
): Promise<number> {
  if (resume !== undefined) {
    const changes = config === undefined ? overrides : [config, ...overrides]
    const file = changes.find((change) => !change.includes('=') && !change.startsWith('~'))
    if (file !== undefined) {
      throw new SptError(
        'ERR_CONFIG',
        `--resume goes on with the run's own configuration; ${file} cannot be given too`,
        {
          hint: `To change a value: spt run --resume ${resume} trainer.max_epochs=50`,
        },
      )
    }
    return statusOf(await resumeRun(resume, changes, { profile }))
  }
  if (config === undefined) {
    throw new SptError('ERR_CONFIG', 'no configuration file was given', {
      hint: 'spt run flowers.yaml; what can be in it: spt plugins, spt schema. To go on with a run: spt run --resume FOLDER',
    })
  }
  return statusOf(await startRun(locate(config), overrides, { profile }))
}

/** The file as named, or with its ending left out. */
export function locate(name: string): string {
  const found = [name, `${name}.yaml`, `${name}.yml`].find((path) => existsSync(path))
  if (found !== undefined) return found
  if (/^[\w-]+$/.test(name)) throw notACommand(name, commands, suggest(name, commands))
  throw name.includes('=')
    ? configFileMissing(name, 'The configuration file comes first: spt run flowers.yaml trainer.max_epochs=5')
    : configFileMissing(name)
}

/** A run that a signal ended has saved and says so by the status that shells expect. */
function statusOf({ signal }: { signal?: 'SIGINT' | 'SIGTERM' }): number {
  return signal === undefined ? 0 : signal === 'SIGINT' ? 130 : 143
}
