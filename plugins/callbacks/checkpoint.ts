/** Keeps the checkpoint with the best value of a metric, beside the `last.ckpt` that every run writes. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { defineCallback, SptError, z, type Callback, type Trainer } from 'stable-pretraining'

export interface ModelCheckpointOptions {
  monitor: string
  mode?: 'min' | 'max'
  /** How many of the best are kept. */
  saveTopK?: number
  /** Folder; `checkpoints` of the run's folder where absent. */
  folder?: string | undefined
}

interface Kept {
  file: string
  value: number
}

export class ModelCheckpoint implements Callback {
  readonly name = 'checkpoint'
  readonly #options: Required<Omit<ModelCheckpointOptions, 'folder'>> & { folder: string | undefined }
  #kept: Kept[] = []

  constructor(options: ModelCheckpointOptions) {
    this.#options = { mode: 'max', saveTopK: 1, folder: undefined, ...options }
  }

  /** The best checkpoint so far. */
  get best(): Kept | undefined {
    return this.#kept[0]
  }

  async onTrainEpochEnd(trainer: Trainer): Promise<void> {
    const { monitor, mode, saveTopK } = this.#options
    if (trainer.valBatches > 0 && !trainer.validated) return // a metric of an earlier validation is no news
    const value = trainer.latest.get(monitor)
    if (value === undefined) {
      throw new SptError('ERR_ARGUMENT', `checkpoint: nothing is logged under "${monitor}"`, {
        hint: `Logged: ${[...trainer.latest.keys()].toSorted().join(', ')}.`,
      })
    }
    const better = (a: Kept, b: Kept): number => (mode === 'max' ? b.value - a.value : a.value - b.value)
    const epoch = String(trainer.currentEpoch + 1).padStart(3, '0')
    const entry = { file: join(this.#folder(trainer), saveTopK === 1 ? 'best.ckpt' : `epoch-${epoch}.ckpt`), value }
    const ranked = [...this.#kept.filter(({ file }) => saveTopK === 1 || file !== entry.file), entry].toSorted(better)
    if (ranked.indexOf(entry) >= saveTopK) return
    this.#kept = ranked.slice(0, saveTopK)
    await trainer.saveCheckpoint(entry.file)
    for (const { file } of ranked.slice(saveTopK)) if (file !== entry.file) await rm(file, { force: true })
  }

  state() {
    return { kept: this.#kept.map((one) => ({ ...one })) }
  }

  loadState(state: ReturnType<ModelCheckpoint['state']>): void {
    this.#kept = state.kept
  }

  #folder(trainer: Trainer): string {
    const folder = this.#options.folder ?? (trainer.runDirectory && join(trainer.runDirectory, 'checkpoints'))
    if (folder === undefined)
      throw new SptError('ERR_ARGUMENT', 'checkpoint: no folder given and the run has none of its own')
    return folder
  }
}

export default defineCallback({
  name: 'checkpoint',
  aliases: ['ModelCheckpoint'],
  targets: ['lightning.pytorch.callbacks.ModelCheckpoint'],
  description: 'Keeps the best checkpoint by a metric; the last one is always kept by the run itself.',
  config: z.object({
    monitor: z.string().min(1).default('eval/knn_top1').describe('metric that decides'),
    mode: z.enum(['min', 'max']).default('max').describe('whether less or more is better'),
    saveTopK: z.int().min(1).default(1).describe('how many of the best are kept; one is named best.ckpt'),
    folder: z.string().optional().describe('where to; the run’s own folder where absent'),
  }),
  build: ({ config }) => new ModelCheckpoint(config),
})
