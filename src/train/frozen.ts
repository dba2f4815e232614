/** What callbacks need to measure a backbone that is not being trained: its embeddings, and random numbers set apart. */
import { type BatchSource, disposeBatch } from '../data/index.js'
import { cat, defaultGenerator, manualSeed, noGrad, randint, scope, type Tensor } from '../tensor/index.js'
import { CosineAnnealingLR, type Optimizer } from '../optim/index.js'
import { withBatch } from './loops.js'
import type { Trainer } from './trainer.js'
import { valueOf } from './outputs.js'

/** Embeddings [rows, dim] with the class numbers [rows] of their images. */
export interface Features {
  readonly embedding: Tensor
  readonly label: Tensor
}

/** A callback that can also say how well embeddings do that stay as they are. */
export interface FrozenEvaluator {
  readonly name: string
  measureFrozen(train: Features, validation: Features, options: FrozenOptions): Promise<Record<string, number>>
}

export interface FrozenOptions {
  /** Optimizer steps for evaluators that learn, and rows of each. */
  readonly steps: number
  readonly batchSize: number
  readonly seed: number
}

export function isFrozenEvaluator(callback: object): callback is FrozenEvaluator {
  return 'measureFrozen' in callback
}

/**
 * Embeddings of up to so many images of `source` by the trainer's module as it is now, in evaluation mode. The caller owns
 * both tensors; there are fewer rows when the run is interrupted. Nothing of the run moves: not its mode, its random
 * numbers or its place in the data.
 */
export async function embed(
  trainer: Trainer,
  source: BatchSource,
  { images = Infinity, batches = Infinity }: { images?: number; batches?: number },
): Promise<Features> {
  const { module } = trainer
  const training = module.training
  module.eval()
  const parts: Features[] = []
  let rows = 0
  for await (const batch of source) {
    await withBatch(trainer, source, batch, { epoch: 0, batch: parts.length }, (made) =>
      noGrad(async () => {
        const outputs = await module.forward(made, 'predict')
        const embedding = valueOf('embedding', outputs, made, 'embed')
        const label = valueOf('label', outputs, made, 'embed')
        const take = Math.min(images - rows, embedding.shape[0] ?? 0)
        parts.push({
          embedding: embedding.narrow(0, 0, take).clone().keep(),
          label: label.narrow(0, 0, take).clone().keep(),
        })
        rows += take
      }),
    )
    disposeBatch(batch)
    if (rows >= images || parts.length >= batches || trainer.interrupted) break
  }
  module.train(training)
  const joined = noGrad(() => ({
    embedding: cat(
      parts.map((part) => part.embedding),
      0,
    ).keep(),
    label: cat(
      parts.map((part) => part.label),
      0,
    ).keep(),
  }))
  for (const { embedding, label } of parts) {
    embedding.dispose()
    label.dispose()
  }
  return joined
}

/**
 * Takes `steps` steps on embeddings that stay as they are, each on rows drawn at random with replacement. The learning
 * rates fall to 0 along half a cosine: at a constant rate what the last rows were decides some points of accuracy.
 * `lossOf` gets the rows' embeddings [batch, dim] and class numbers [batch].
 */
export function fitFrozen(
  optimizer: Optimizer,
  { embedding, label }: Features,
  { steps, batchSize }: FrozenOptions,
  lossOf: (embedding: Tensor, label: Tensor) => Tensor,
): void {
  const scheduler = new CosineAnnealingLR(optimizer, { tMax: steps })
  for (let step = 0; step < steps; step++) {
    scope(() => {
      const rows = randint(0, label.numel, [Math.min(batchSize, label.numel)])
      lossOf(embedding.indexSelect(0, rows), label.indexSelect(0, rows)).backward()
      optimizer.step()
      optimizer.zeroGrad()
    })
    scheduler.step()
  }
}

/** Runs `work` with random numbers of its own; the run's go on afterwards as if nothing had been drawn. */
export async function withOwnRandomness<T>(seed: number, work: () => Promise<T>): Promise<T> {
  const state = defaultGenerator.getState()
  manualSeed(seed)
  try {
    return await work()
  } finally {
    defaultGenerator.setState(state)
  }
}
