/** Writes embeddings, labels or whatever else a forward returns to NumPy or Parquet files, one for each epoch and stage. */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { cat, defineCallback, valueOf, writeNpz, writeParquet, z } from 'stable-pretraining'
import type { BatchEvent, Callback, Tensor, Trainer } from 'stable-pretraining'

export interface EmbeddingWriterOptions {
  /** Keys of outputs or batch; `index`, the place of each row in the data set, is always added. */
  names: readonly string[]
  /** Folder; relative to the run's. */
  path?: string
  during?: ReadonlyArray<'train' | 'validation'>
  /** Every so many epochs; 0: never but for the last. */
  everyKEpochs?: number
  saveLastEpoch?: boolean
  saveSanityCheck?: boolean
  /** Parquet takes [rows] and [rows, width]: numbers, and lists. */
  format?: 'npz' | 'parquet'
}

export class EmbeddingWriter implements Callback {
  readonly name = 'embedding_writer'
  readonly #options: Required<EmbeddingWriterOptions>
  #rows = new Map<string, Tensor[]>()

  constructor(options: EmbeddingWriterOptions) {
    const defaults = { path: 'embeddings', everyKEpochs: 1, saveLastEpoch: true, saveSanityCheck: false }
    this.#options = { ...defaults, during: ['validation'], format: 'npz', ...options }
  }

  onTrainEpochStart(): void {
    this.#forget()
  }

  onTrainBatchEnd(event: BatchEvent): void {
    this.#take('train', event)
  }

  onValidationStart(trainer: Trainer): Promise<void> | undefined {
    // The training epoch is over, and its rows would mix with those of the validation.
    return this.#rows.size > 0 ? this.#write(trainer, 'train') : undefined
  }

  onValidationBatchEnd(event: BatchEvent): void {
    this.#take('validation', event)
  }

  async onValidationEnd(trainer: Trainer): Promise<void> {
    if (this.#rows.size > 0) await this.#write(trainer, trainer.sanityChecking ? 'sanity' : 'validation')
  }

  async onTrainEpochEnd(trainer: Trainer): Promise<void> {
    if (this.#rows.size > 0) await this.#write(trainer, 'train')
  }

  #take(stage: 'train' | 'validation', { trainer, outputs, batch }: BatchEvent): void {
    if (!this.#options.during.includes(stage) || !this.#due(trainer)) return
    for (const key of this.#options.names) {
      const rows = valueOf(key, outputs, batch, this.name).detach().clone().keep()
      this.#rows.set(key, [...(this.#rows.get(key) ?? []), rows])
    }
    if (!this.#options.names.includes('index')) {
      this.#rows.set('index', [...(this.#rows.get('index') ?? []), batch.index.clone().keep()])
    }
  }

  #due({ currentEpoch, options, sanityChecking }: Trainer): boolean {
    const { everyKEpochs, saveLastEpoch, saveSanityCheck } = this.#options
    if (sanityChecking) return saveSanityCheck
    if (everyKEpochs > 0 && (currentEpoch + 1) % everyKEpochs === 0) return true
    return saveLastEpoch && currentEpoch + 1 >= options.maxEpochs
  }

  async #write(trainer: Trainer, stage: string): Promise<void> {
    const { path, format } = this.#options
    const folder = resolve(trainer.runDirectory ?? '.', path)
    await mkdir(folder, { recursive: true })
    const arrays = Object.fromEntries([...this.#rows].map(([key, parts]) => [key, cat(parts)]))
    const file = join(folder, `${stage}_epoch=${trainer.currentEpoch}.${format}`)
    await (format === 'npz' ? writeNpz : writeParquet)(file, arrays)
    for (const array of Object.values(arrays)) array.dispose()
    this.#forget()
  }

  #forget(): void {
    for (const tensor of [...this.#rows.values()].flat()) tensor.dispose()
    this.#rows.clear()
  }
}

export default defineCallback({
  name: 'embedding-writer',
  aliases: ['OnlineWriter', 'EmbeddingWriter'],
  targets: ['stable_pretraining.callbacks.OnlineWriter'],
  description: 'Embeddings, labels or other outputs as NumPy (.npz) or Parquet files, one for each epoch.',
  config: z.object({
    names: z
      .array(z.string().min(1))
      .min(1)
      .default(['embedding', 'label'])
      .describe('keys of the outputs or the batch; the index of each row in the data set is added'),
    path: z.string().default('embeddings').describe('folder they are written to, relative to the run’s'),
    during: z
      .array(z.enum(['train', 'validation']))
      .min(1)
      .default(['validation'])
      .describe('which batches'),
    everyKEpochs: z.int().min(0).default(1).describe('every so many epochs; 0: only the last one'),
    saveLastEpoch: z.boolean().default(true).describe('the last epoch in any case'),
    saveSanityCheck: z.boolean().default(false).describe('the batches of the sanity check too'),
    format: z
      .enum(['npz', 'parquet'])
      .default('npz')
      .describe('kind of file; in parquet a row a sample, vectors as lists'),
  }),
  build: ({ config }) => new EmbeddingWriter(config),
})
