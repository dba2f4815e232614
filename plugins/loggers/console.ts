/** What a person sees at the terminal: a progress bar there, plain lines where the output goes to a file. */
import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import { defineLogger, z, type Logger, type Progress } from 'stable-pretraining'

export interface ConsoleOptions {
  /** Batches between two lines where there is no terminal. */
  everyNBatches?: number
  stream?: NodeJS.WriteStream
}

export class ConsoleLogger implements Logger {
  readonly #stream: NodeJS.WriteStream
  readonly #everyNBatches: number
  #bars: MultiBar | undefined
  #bar: SingleBar | undefined
  /** Speed of training: measured over the steps since the start, without the time of validations. */
  #trained = { images: 0, steps: 0, milliseconds: 0 }
  #last: { stage: string; at: number } | undefined

  constructor({ everyNBatches = 50, stream = process.stderr }: ConsoleOptions = {}) {
    this.#stream = stream
    this.#everyNBatches = everyNBatches
  }

  progress(progress: Progress): void {
    const { stage, batch, batches } = progress
    this.#measure(progress)
    if (!this.#stream.isTTY) {
      if (stage === 'fit' && (batch % this.#everyNBatches === 0 || batch === batches)) this.print(this.#line(progress))
      return
    }
    this.#bars ??= new MultiBar(
      {
        format: '{bar} {line}',
        stream: this.#stream,
        hideCursor: true,
        clearOnComplete: true,
        barsize: 20,
        fps: 8,
        linewrap: false,
      },
      Presets.shades_classic,
    )
    this.#bar ??= this.#bars.create(1, 0, { line: '' })
    this.#bar.setTotal(batches)
    this.#bar.update(batch, { line: this.#line(progress) })
  }

  /** Prints the means of an epoch and of a validation; single steps are in the bar. */
  logMetrics(metrics: Record<string, number>, { step, epoch }: { step: number; epoch: number }): void {
    const shown = Object.entries(metrics).filter(
      ([name]) => !name.endsWith('_step') && !/^(hparams|untrained|queue|teacher_student)\//.test(name),
    )
    if (shown.length === 0) return
    this.print(
      `epoch ${epoch + 1} step ${step}: ${shown.map(([name, value]) => `${name} ${format(name, value)}`).join(', ')}`,
    )
  }

  print(line: string): void {
    if (this.#bars) this.#bars.log(`${line}\n`)
    else this.#stream.write(`${line}\n`)
  }

  finalize(): void {
    this.#bars?.stop()
    this.#bars = undefined
    this.#bar = undefined
  }

  #measure({ stage, images }: Progress): void {
    const now = performance.now()
    // The first batch of a stage includes its start-up.
    if (stage === 'fit' && this.#last?.stage === 'fit') {
      this.#trained.images += images
      this.#trained.steps++
      this.#trained.milliseconds += now - this.#last.at
    }
    this.#last = { stage, at: now }
  }

  #line({ stage, epoch, maxEpochs, batch, batches, step, totalSteps, latest }: Progress): string {
    const { images, steps, milliseconds } = this.#trained
    const place = `epoch ${epoch + 1}${Number.isFinite(maxEpochs) ? `/${maxEpochs}` : ''}`
    if (stage !== 'fit') return `${place}  validation ${batch}/${batches}`
    const loss = latest.get('fit/loss_step')
    const parts = [place, `step ${step}${Number.isFinite(totalSteps) ? `/${totalSteps}` : ''}`]
    if (loss !== undefined) parts.push(`loss ${loss.toFixed(4)}`)
    if (milliseconds > 0) parts.push(`${((1000 * images) / milliseconds).toFixed(0)} images/s`)
    if (steps > 0 && Number.isFinite(totalSteps))
      parts.push(`ETA ${duration(((totalSteps - step) * milliseconds) / steps)}`)
    return parts.join('  ')
  }
}

export default defineLogger({
  name: 'console',
  usedByDefault: true,
  description:
    'A live progress bar with epoch, step, loss, images/s and the time left; plain lines without a terminal.',
  config: z.object({
    everyNBatches: z.int().positive().default(50).describe('batches between two lines where there is no terminal'),
  }),
  build: ({ config }) => new ConsoleLogger(config),
})

const format = (name: string, value: number): string =>
  /_top\d$|_neighbours$|\/top\d/.test(name) ? `${(value * 100).toFixed(1)} %` : value.toPrecision(4)

/** 75,000 ms → "1:15". */
function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const shown = parts[0] === 0 ? parts.slice(1) : parts
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, '0'))).join(':')
}
