/** metrics.jsonl: one JSON object a line, with the time of writing. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appendToFile, defineLogger, writeFileAtomically, z, type Logger } from 'stable-pretraining'

export class JsonLinesLogger implements Logger {
  readonly #path: string
  #lines = 0

  constructor(path: string) {
    this.#path = path
  }

  /** `time` is in ISO 8601, `epoch` counts from 0, `step` the optimizer steps done. */
  async logMetrics(metrics: Record<string, number>, { step, epoch }: { step: number; epoch: number }): Promise<void> {
    const line = { time: new Date().toISOString(), epoch, step, ...metrics }
    await appendToFile(this.#path, `${JSON.stringify(line)}\n`)
    this.#lines++
  }

  state() {
    return { lines: this.#lines }
  }

  /** Cuts off what was written after the checkpoint. */
  async loadState({ lines }: ReturnType<JsonLinesLogger['state']>): Promise<void> {
    const kept = (await readFile(this.#path, 'utf8').catch(() => '')).split('\n').slice(0, -1).slice(0, lines)
    this.#lines = kept.length
    await writeFileAtomically(this.#path, kept.map((line) => `${line}\n`).join(''))
  }
}

export default defineLogger({
  name: 'jsonl',
  description: 'Metrics as JSON lines with their times, metrics.jsonl in the folder of the run.',
  config: z.object({
    file: z.string().min(1).default('metrics.jsonl').describe('name of the file in the run’s folder'),
  }),
  build: ({ config, runDirectory }) => new JsonLinesLogger(join(runDirectory, config.file)),
})
