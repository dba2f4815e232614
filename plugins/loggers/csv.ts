/** metrics.csv: a row for each set of metrics, a column for each name. It holds no times, so equal runs give equal files. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appendToFile, defineLogger, writeFileAtomically, z, type Logger } from 'stable-pretraining'

const FIRST = ['epoch', 'step']

export class CsvLogger implements Logger {
  readonly #path: string
  #columns: string[] = []
  #rows = 0

  constructor(path: string) {
    this.#path = path
  }

  /** `epoch` counts from 0, `step` the optimizer steps done. New names become columns at the end. */
  async logMetrics(metrics: Record<string, number>, at: { step: number; epoch: number }): Promise<void> {
    if (this.#columns.length === 0) await this.#open()
    const values: Record<string, number> = { epoch: at.epoch, step: at.step, ...metrics }
    const added = Object.keys(values).filter((name) => !this.#columns.includes(name))
    if (added.length > 0) {
      const lines = await this.#lines()
      this.#columns.push(...added)
      await this.#rewrite(lines.map((line) => line + ','.repeat(added.length)))
    }
    await appendToFile(this.#path, `${this.#columns.map((name) => values[name] ?? '').join(',')}\n`)
    this.#rows++
  }

  state() {
    return { columns: [...this.#columns], rows: this.#rows }
  }

  /** Cuts off what was written after the checkpoint, so that no row comes twice and no column too early. */
  async loadState({ columns, rows }: ReturnType<CsvLogger['state']>): Promise<void> {
    this.#columns = [...columns]
    if (columns.length === 0) return
    const lines = (await this.#lines()).slice(0, rows)
    this.#rows = lines.length
    await this.#rewrite(lines.map((line) => line.split(',').slice(0, columns.length).join(',')))
  }

  /** Goes on with a file that is there already. */
  async #open(): Promise<void> {
    const [head] = (await this.#text()).split('\n')
    this.#columns = head ? head.split(',') : [...FIRST]
    if (head) this.#rows = (await this.#lines()).length
    else await this.#rewrite([])
  }

  /** Complete rows; a last line without its end was being written when the process died. */
  async #lines(): Promise<string[]> {
    return (await this.#text()).split('\n').slice(1, -1)
  }

  async #text(): Promise<string> {
    return readFile(this.#path, 'utf8').catch(() => '')
  }

  async #rewrite(lines: readonly string[]): Promise<void> {
    await writeFileAtomically(this.#path, [this.#columns.join(','), ...lines, ''].join('\n'))
  }
}

export default defineLogger({
  name: 'csv',
  aliases: ['CSVLogger'],
  targets: ['lightning.pytorch.loggers.CSVLogger', 'stable_pretraining.registry.RegistryLogger'],
  usedByDefault: true,
  description: 'Metrics as a table, metrics.csv in the folder of the run.',
  config: z.object({ file: z.string().min(1).default('metrics.csv').describe('name of the file in the run’s folder') }),
  build: ({ config, runDirectory }) => new CsvLogger(join(runDirectory, config.file)),
})
