/**
 * A report of the run as one HTML file that needs nothing else: curves, numbers, pictures. Written after every epoch.
 * It measures only which validation images lie nearest to each other; the rest it reads from metrics.csv.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cat, DataLoader, defineCallback, scope, valueOf, writeFileAtomically, z } from 'stable-pretraining'
import type { BatchEvent, Callback, Features, FrozenEvaluator, Tensor, Trainer } from 'stable-pretraining'
import { readCurves, type Curves } from './report/curves.js'
import { nearest, pictureRows } from './report/neighbours.js'
import { type NeighbourRow, reportPage } from './report/page.js'
import { summaryTable } from './report/words.js'

export interface ReportOptions {
  title?: string
  /** Rows of pictures, and neighbours in each. */
  queries?: number
  neighbours?: number
  /** Most validation images that are compared with each other. */
  images?: number
}

export class Report implements Callback, FrozenEvaluator {
  readonly name = 'report'
  readonly #options: Required<ReportOptions>
  #seen: Array<Features & { index: Tensor }> = []
  #rows: NeighbourRow[] = []

  constructor(options: ReportOptions = {}) {
    this.#options = { title: 'Pretraining report', queries: 8, neighbours: 8, images: 2000, ...options }
  }

  onValidationStart(): void {
    this.#forget()
  }

  onValidationBatchEnd({ trainer, outputs, batch }: BatchEvent): void {
    const label = (outputs['label'] ?? batch.label) as Tensor | undefined
    if (trainer.sanityChecking || label === undefined) return
    if (this.#seen.reduce((sum, part) => sum + part.label.numel, 0) >= this.#options.images) return
    const copy = (tensor: Tensor): Tensor => tensor.detach().clone().keep()
    const embedding = valueOf('embedding', outputs, batch, this.name)
    this.#seen.push({ embedding: copy(embedding), label: copy(label), index: copy(batch.index) })
  }

  async onValidationEnd(trainer: Trainer): Promise<void> {
    if (this.#seen.length === 0) return
    const { neighbours, queries } = this.#options
    const joined = (key: 'embedding' | 'label' | 'index'): Tensor => cat(this.#seen.map((part) => part[key]))
    await scope(async () => {
      const found = await nearest(joined('embedding'), joined('label'), neighbours)
      const places = Array.from((await joined('index').data()) as BigInt64Array, Number)
      this.#rows = await pictureRows(found, trainer.data.val, places, queries)
      trainer.log('eval/report_neighbours', found.share)
    })
    this.#forget()
  }

  async onTrainEpochEnd(trainer: Trainer): Promise<void> {
    await this.#write(trainer, false)
  }

  async onFitEnd(trainer: Trainer): Promise<void> {
    const curves = await this.#write(trainer, true)
    for (const line of summaryTable(curves)) trainer.print(line)
  }

  async measureFrozen(_train: Features, { embedding, label }: Features): Promise<Record<string, number>> {
    const { images, neighbours } = this.#options
    const rows = Math.min(images, label.numel)
    return scope(async () => {
      const { share } = await nearest(embedding.narrow(0, 0, rows), label.narrow(0, 0, rows), neighbours)
      return { neighbours: share }
    })
  }

  async #write(trainer: Trainer, finished: boolean): Promise<Curves> {
    const folder = trainer.runDirectory
    if (folder === undefined) return { losses: [], accuracies: [], rank: [] }
    const metrics = join(folder, 'metrics.csv')
    const curves = readCurves(await readFile(metrics, 'utf8').catch(() => ''))
    // A run that was gone on with has no pictures before its first validation: those on the disk stay until then.
    const awaited = trainer.valBatches > 0 && this.#options.queries > 0
    if (trainer.resumed && awaited && this.#rows.length === 0) return curves
    const { train, val } = trainer.data
    const { hparams } = trainer.module
    const setting = (key: string) =>
      typeof hparams[key] === 'string' || typeof hparams[key] === 'number' ? [String(hparams[key])] : []
    const [method] = setting('method.type')
    const page = reportPage({
      ...curves,
      title: this.#options.title,
      finished,
      method,
      settings: ['method.type', 'backbone.type', 'optimizer.type', 'optimizer.lr', 'seed'].flatMap((key) =>
        setting(key).map((value): [string, string] => [key.replace('.type', '').replace('.', ' '), value]),
      ),
      epochs: finished ? trainer.currentEpoch : trainer.currentEpoch + 1,
      steps: trainer.globalStep,
      images: train instanceof DataLoader ? train.dataset.length : 0,
      classes: val instanceof DataLoader ? (val.dataset.classes ?? []) : [],
      rows: this.#rows,
      files: [
        ['metrics of every step and epoch', metrics],
        ['newest checkpoint', trainer.checkpointPath ?? 'none'],
      ],
    })
    await writeFileAtomically(join(folder, 'report.html'), page)
    return curves
  }

  #forget(): void {
    for (const { embedding, label, index } of this.#seen) for (const one of [embedding, label, index]) one.dispose()
    this.#seen = []
  }
}

export default defineCallback({
  name: 'report',
  description: 'report.html after every epoch: curves, a table against the untrained backbone, neighbours in pictures.',
  config: z.object({
    title: z.string().default('Pretraining report').describe('heading of the page'),
    queries: z.int().min(0).default(8).describe('rows of pictures'),
    neighbours: z.int().min(1).default(8).describe('neighbours in each row'),
    images: z.int().min(2).default(2000).describe('most validation images that are compared with each other'),
  }),
  build: ({ config }) => new Report(config),
})
