/** What is trained, told before the first step: the parameters of every network, those that are frozen, and buffers. */
import { defineCallback, nn, z, type Callback, type Trainer } from 'stable-pretraining'

export interface ModelSummaryOptions {
  /** Levels below the module that get a line of their own. */
  maxDepth?: number
}

export class ModelSummary implements Callback {
  readonly name = 'model_summary'
  readonly #depth: number

  constructor({ maxDepth = 1 }: ModelSummaryOptions = {}) {
    this.#depth = maxDepth
  }

  onFitStart(trainer: Trainer): void {
    if (trainer.resumed) return
    const rows = [...trainer.module.namedModules()]
      .filter(([name]) => name !== '' && name.split('.').length <= this.#depth)
      .map(([name, module]) => ({ name, type: module.constructor.name, ...count(module) }))
      .filter(({ trainable, frozen, buffers }) => trainable + frozen + buffers > 0)
    const total = { name: 'all', type: '', ...count(trainer.module) }
    for (const line of table([...rows, total])) trainer.print(line)
  }
}

interface Row {
  name: string
  type: string
  trainable: number
  frozen: number
  buffers: number
}

function count(module: nn.Module<unknown>): Pick<Row, 'trainable' | 'frozen' | 'buffers'> {
  const { parameters, trainableParameters: trainable } = nn.countParameters(module)
  const buffers = [...module.namedBuffers()].reduce((sum, [, { numel }]) => sum + numel, 0)
  return { trainable, frozen: parameters - trainable, buffers }
}

function table(rows: readonly Row[]): string[] {
  const texts = [
    ['name', 'type', 'trainable', 'frozen', 'buffers'],
    ...rows.map(({ name, type, ...counts }) => [
      name,
      type,
      ...[counts.trainable, counts.frozen, counts.buffers].map((value) => value.toLocaleString('en')),
    ]),
  ]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...texts.map((row) => row[column]!.length)))
  return texts.map((row) =>
    row.map((text, i) => (i < 2 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join('  '),
  )
}

export default defineCallback({
  name: 'model-summary',
  aliases: ['ModuleSummary', 'ModelSummary'],
  targets: ['stable_pretraining.callbacks.ModuleSummary', 'lightning.pytorch.callbacks.ModelSummary'],
  description: 'A table of trainable, frozen and buffered numbers of every network, printed before the first step.',
  config: z.object({
    maxDepth: z.int().min(1).default(1).describe('levels of the module tree that get a line of their own'),
  }),
  build: ({ config }) => new ModelSummary(config),
})
