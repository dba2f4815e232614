/** The batches of an epoch and of a validation, one after the other. Epochs, and what follows them, are the trainer's. */
import { applyBatchTransforms, type Batch, type BatchSource, disposeBatch } from '../data/index.js'
import { autocast, noGrad, scope, Tensor } from '../tensor/index.js'
import { type BatchProgress, callHook, type Outputs, type Stage } from './callback.js'
import { moveBatch } from './device.js'
import type { OptimizerEntry } from './optimization.js'
import { imageCount, lossOf, scalarsOf, valueOf } from './outputs.js'
import { stepOptimizers } from './stepping.js'
import { logTeachers } from './teacher-student.js'
import type { Trainer } from './trainer.js'

/** The rest of the current epoch; returns early when the run is interrupted or has done its steps. */
export async function trainBatches(trainer: Trainer): Promise<void> {
  const { data, module, options } = trainer
  const { checkpointEveryNSteps, logEveryNSteps, maxSteps } = options
  module.train()
  trainer.stage = 'fit'
  data.train?.load({ epoch: trainer.currentEpoch, batch: trainer.batchIdx })
  let asked = performance.now()
  for await (const batch of data.train ?? []) {
    trainer.waitingSeconds += (performance.now() - asked) / 1000
    const before = trainer.globalStep
    const images = imageCount(batch)
    const place = { epoch: trainer.currentEpoch, batch: trainer.batchIdx }
    // Everything a step makes and nobody keeps is freed here.
    await withBatch(trainer, data.train, batch, place, (made) => trainStep(trainer, made))
    disposeBatch(batch)
    trainer.batchIdx++
    const stepped = trainer.globalStep > before
    if (stepped && trainer.globalStep % logEveryNSteps === 0) await logStep(trainer)
    tell(trainer, 'fit', trainer.batchIdx, trainer.trainBatches, images)
    await nextTurn()
    if (trainer.interrupted || trainer.batchIdx >= trainer.trainBatches || trainer.globalStep >= maxSteps) return
    const due = checkpointEveryNSteps > 0 && trainer.globalStep % checkpointEveryNSteps === 0
    if (stepped && due) await trainer.saveLast()
    asked = performance.now()
  }
}

/** The first `batches` of the validation data. Returns their metrics; undefined when the run was interrupted. */
export async function validateBatches(trainer: Trainer, batches: number): Promise<Record<string, number> | undefined> {
  if (batches === 0) return {}
  const { callbacks, data, module } = trainer
  const book = trainer.books.validate
  trainer.stage = 'validate'
  module.eval()
  data.val?.load({ epoch: 0, batch: 0 })
  for (const [key, queue] of trainer.queues) trainer.log(`queue/${key}_fill_pct`, (100 * queue.length) / queue.capacity)
  await callHook(callbacks, 'onValidationStart', trainer)
  let batchIdx = 0
  for await (const batch of data.val ?? []) {
    const images = imageCount(batch)
    await withBatch(trainer, data.val, batch, { epoch: 0, batch: batchIdx }, (made) =>
      noGrad(async () => {
        const outputs = await forward(trainer, made, 'validate')
        await callHook(callbacks, 'onValidationBatchEnd', { trainer, outputs, batch: made, batchIdx })
      }),
    )
    disposeBatch(batch)
    tell(trainer, 'validate', ++batchIdx, batches, images)
    await nextTurn()
    if (trainer.interrupted || batchIdx >= batches) break
  }
  if (trainer.interrupted) book.clear()
  else {
    await callHook(callbacks, 'onValidationEnd', trainer)
    await book.read()
  }
  const metrics = book.takeEpoch()
  trainer.stage = 'fit'
  module.train()
  return trainer.interrupted ? undefined : metrics
}

/** Does what the data says is done to its batches, here or on the device they go to, then `step`, in a scope; frees what was made. */
export async function withBatch(
  trainer: Trainer,
  source: BatchSource | undefined,
  batch: Batch,
  place: { epoch: number; batch: number },
  step: (batch: Batch) => Promise<void>,
): Promise<void> {
  await scope(async () => {
    const made = await applyBatchTransforms(source, batch, place, (own) => moveBatch(own, trainer.device))
    try {
      await step(made)
    } finally {
      // Tensors that the core made for it outlive a scope.
      if (made !== batch) disposeBatch(made)
    }
  })
}

/** Forward, one backward, the optimizers that are due, queues. */
async function trainStep(trainer: Trainer, batch: Batch): Promise<void> {
  const { batchIdx, optimizers } = trainer
  await callHook(trainer.callbacks, 'onTrainBatchStart', { trainer, outputs: {}, batch, batchIdx })
  const outputs = await forward(trainer, batch, 'fit')
  if (optimizers.length > 0) {
    const loss = lossOf(outputs)
    ;(trainer.scaler?.scale(loss) ?? loss).backward()
    const { detectAnomaly, logGradNorm } = trainer.options
    const stepped = stepOptimizers(optimizers, batchIdx, batchIdx + 1 === trainer.trainBatches, {
      detectAnomaly,
      scaler: trainer.scaler,
      onGradNorm: logGradNorm
        ? (name, norm) => trainer.log(`grad_norm/${name}`, norm, { onStep: true, onEpoch: false })
        : undefined,
    })
    // The first optimizer counts the steps of the run, however many there are.
    if (stepped.includes(optimizers[0] as OptimizerEntry)) {
      const { currentEpoch: epoch, totalSteps, options } = trainer
      await trainer.module.afterStep(++trainer.globalStep, { epoch, maxEpochs: options.maxEpochs, totalSteps })
      logTeachers(trainer)
    }
  } else trainer.globalStep++
  for (const [key, queue] of trainer.queues) queue.append(valueOf(key, outputs, batch, `queue "${key}"`))
  await callHook(trainer.callbacks, 'onTrainBatchEnd', { trainer, outputs, batch, batchIdx })
}

/** The module's forward, every scalar of it logged, then what callbacks add. */
async function forward(trainer: Trainer, batch: Batch, stage: Stage): Promise<Outputs> {
  const run = () => trainer.module.forward(batch, stage, progressOf(trainer))
  const outputs = trainer.mixed ? widened(await autocast(trainer.mixed, run)) : await run()
  for (const [name, value] of scalarsOf(outputs)) {
    const guard = name === 'loss'
    trainer.log(`${stage}/${name}`, value, { onStep: stage === 'fit', weight: imageCount(batch), guard })
  }
  for (const callback of trainer.callbacks) await callback.forward?.({ outputs, batch, stage, trainer })
  return outputs
}

function progressOf({
  currentEpoch: epoch,
  batchIdx,
  trainBatches,
  globalStep: step,
  ...rest
}: Trainer): BatchProgress {
  const { totalSteps, options } = rest
  return { step, batch: epoch * trainBatches + batchIdx, epoch, maxEpochs: options.maxEpochs, totalSteps }
}

/** What leaves mixed precision is float32: callbacks and queues need not know of it. */
function widened(outputs: Outputs): Outputs {
  const isHalf = (value: unknown): value is Tensor =>
    value instanceof Tensor && (value.dtype === 'bfloat16' || value.dtype === 'float16')
  const wide = (value: unknown) => (isHalf(value) ? value.to('float32') : value)
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, wide(value)]))
}

async function logStep(trainer: Trainer): Promise<void> {
  for (const { name, optimizer } of trainer.optimizers) {
    trainer.log(`hparams/lr_${name}`, optimizer.groups[0]?.lr ?? 0, { onStep: true, onEpoch: false })
  }
  if (trainer.scaler) trainer.log('hparams/grad_scale', trainer.scaler.getScale(), { onStep: true, onEpoch: false })
  await trainer.flush()
}

function tell(trainer: Trainer, stage: Stage, batch: number, batches: number, images: number): void {
  const { currentEpoch: epoch, globalStep: step, totalSteps, latest, options } = trainer
  const progress = { stage, epoch, maxEpochs: options.maxEpochs, batch, batches, step, totalSteps, images, latest }
  for (const logger of trainer.loggers) logger.progress?.(progress)
}

/** Lets signals, timers and the loader's finished work be seen. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
