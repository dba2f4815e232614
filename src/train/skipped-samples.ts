/** The samples that a run's loaders left out because they could not be read, in a file of the run's folder and at the terminal. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DataLoader, type DataModule } from '../data/index.js'
import { appendToFile } from '../runs/atomic-file.js'

/** The file's name; a line of JSON a sample: the part of the data, its place, its file, why, and the epoch it was met in. */
export const skippedFile = 'skipped-samples.jsonl'

/** The first ones are told at the terminal, one by one. */
const told = 5

/** Lists what the loaders of `data` skip from now on, each sample once; also over several goes of a resumed run. */
export function listSkipped(
  data: DataModule,
  folder: string,
  print: (line: string) => void,
): { done(): Promise<void> } {
  const file = join(folder, skippedFile)
  const known = new Set(existsSync(file) ? readFileSync(file, 'utf8').split('\n').map(placeOf) : [])
  let count = 0
  let written: Promise<void> = Promise.resolve()
  let failure: unknown
  for (const part of ['train', 'val', 'test', 'predict'] as const) {
    const loader = data[part]
    if (!(loader instanceof DataLoader)) continue
    loader.onSkip(({ index, path, message, epoch }) => {
      count++
      if (count <= told) print(`skipped: ${message}`)
      else if (count === told + 1) print(`more samples are skipped; ${file} lists them`)
      const line = JSON.stringify({ part, index, ...(path !== undefined && { path }), message, epoch })
      if (known.has(placeOf(line))) return
      known.add(placeOf(line))
      written = written
        .then(() => appendToFile(file, `${line}\n`))
        .catch((error: unknown) => {
          failure ??= error
        })
    })
  }
  return {
    async done() {
      await written
      if (failure !== undefined) throw failure
      if (count > 0) print(`skipped ${count} ${count === 1 ? 'sample' : 'samples'} that could not be read: ${file}`)
    },
  }
}

/** A line's sample, whatever its message. A cut last line counts as none. */
function placeOf(line: string): string {
  try {
    const { part, index } = JSON.parse(line) as { part: string; index: number }
    return `${part} ${index}`
  } catch {
    return ''
  }
}
