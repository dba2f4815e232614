/** A run of seconds on synthetic images, for what needs one around it. It saves no checkpoint of its own. */
import { DataModule, type Batch, type BatchSource } from '../data/index.js'
import * as nn from '../nn/index.js'
import { manualSeed, memory } from '../tensor/index.js'
import { Module, Trainer, type Callback } from '../train/index.js'
import { collectGarbage } from './garbage.js'
import { smallBackbone, smallTransformer, syntheticBatch } from './synthetic.js'

export interface BriefTraining {
  readonly callbacks: readonly unknown[]
  readonly classes: number
  readonly epochs?: number
  /** Trains a vision transformer, and adds its `tokens` [batch, tokens, dim] to the outputs. */
  readonly transformer?: boolean | undefined
  /** Where callbacks may write. */
  readonly runDirectory: string
}

/**
 * Trains a small classifier whose outputs hold `embedding`, `label` and `loss`.
 * Returns how many buffers were held at the end of each epoch.
 */
export async function trainBriefly(options: BriefTraining): Promise<number[]> {
  const { callbacks, classes, epochs = 2, runDirectory, transformer = false } = options
  manualSeed(0)
  const backbone = transformer ? smallTransformer() : smallBackbone()
  const module = new Module({
    backbone: backbone.module,
    head: new nn.Linear(backbone.dim, classes),
    forward(batch: Batch) {
      const embedding = this.backbone.forward(batch.image!)
      const loss = this.head.forward(embedding).crossEntropy(batch.label!)
      const network: nn.Module = this.backbone
      const tokens = network instanceof nn.VisionTransformer ? { tokens: network.forwardFeatures(batch.image!) } : {}
      return { loss, embedding, label: batch.label, ...tokens }
    },
    optim: { optimizer: { type: 'AdamW', lr: 1e-3 }, scheduler: null },
  })
  const alive: number[] = []
  const watch: Callback = {
    name: 'watch',
    async onTrainEpochEnd() {
      await collectGarbage()
      alive.push(memory().liveBuffers)
    },
  }
  const trainer = new Trainer({
    maxEpochs: epochs,
    numSanityValSteps: 1,
    logEveryNSteps: 2,
    callbacks: [...(callbacks as Callback[]), watch],
    logger: false,
  })
  trainer.runDirectory = runDirectory
  await trainer.fit(module, new DataModule({ train: new Synthetic(4, classes), val: new Synthetic(2, classes) }))
  for (const tensor of module.stateDict().values()) tensor.dispose()
  return alive
}

/** Batches made on the spot. */
class Synthetic implements BatchSource {
  readonly length: number
  readonly #classes: number
  #epoch = 0
  #batch = 0

  constructor(length: number, classes: number) {
    this.length = length
    this.#classes = classes
  }

  setEpoch(epoch: number): void {
    this.load({ epoch, batch: 0 })
  }

  state(): { epoch: number; batch: number } {
    return { epoch: this.#epoch, batch: this.#batch }
  }

  load({ epoch, batch }: { epoch: number; batch: number }): void {
    this.#epoch = epoch
    this.#batch = batch
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    for (; this.#batch < this.length; this.#batch++) {
      const made = syntheticBatch(this.#epoch * this.length + this.#batch, {
        batchSize: 16,
        classes: this.#classes,
        side: 16,
      })
      for (const tensor of [made.label, made.index, ...made.views.map(({ image }) => image)]) tensor.keep()
      yield made
    }
  }
}
