/** What a checkpoint of a run holds, gathered from the trainer and put back into it. The file format is in `checkpoint`. */
import { diverged, reason, SptError } from '../errors.js'
import { defaultGenerator, type DeviceName, scope, type Tensor } from '../tensor/index.js'
import type { GradScalerState } from '../optim/index.js'
import { callHook } from './callback.js'
import { type Checkpoint, loadCheckpoint, saveCheckpoint } from './checkpoint.js'
import type { StateObject } from './packing.js'
import type { Trainer } from './trainer.js'

/**
 * Writes everything that a bit-for-bit continuation needs.
 *
 * @throws ERR_NONFINITE when a weight is no finite number; the file that was there stays.
 */
export async function save(trainer: Trainer, path: string): Promise<void> {
  await scope(async () => {
    await checkWeights(trainer) // a checkpoint that cannot be gone on with must not replace one that can
    const state = await gather(trainer)
    await callHook(trainer.callbacks, 'onSaveCheckpoint', trainer, state as never)
    await saveCheckpoint(path, { weights: trainer.module.stateDict(), state })
  })
}

/**
 * Brings a prepared trainer to the state of the checkpoint.
 *
 * @throws ERR_CHECKPOINT when the file is damaged, or was written by a run with other networks, optimizers or data.
 */
export async function restore(trainer: Trainer, path: string): Promise<void> {
  await scope(async () => {
    const checkpoint = await loadCheckpoint(path)
    try {
      await put(trainer, checkpoint)
    } catch (cause) {
      throw new SptError('ERR_CHECKPOINT', `${path} does not fit this run: ${reason(cause)}`, {
        cause,
        hint: 'Resume with the data, the networks and the optimizers that the run was started with.',
      })
    }
  })
  trainer.resumed = true
}

async function checkWeights({ module, globalStep }: Trainer): Promise<void> {
  for (const [name, weight] of module.namedParameters()) {
    for (const value of await weight.data()) {
      if (typeof value === 'number' && !Number.isFinite(value)) throw diverged(`weight "${name}"`, value, globalStep)
    }
  }
}

async function gather(trainer: Trainer): Promise<Checkpoint['state']> {
  const gradients: Record<string, Tensor> = {} // only inside a window of accumulated batches
  for (const [name, { grad }] of trainer.module.namedParameters()) if (grad) gradients[name] = grad
  return {
    trainer: {
      epoch: trainer.currentEpoch,
      batch: trainer.batchIdx,
      step: trainer.globalStep,
      shouldStop: trainer.shouldStop,
      trainBatches: trainer.trainBatches,
      totalSteps: trainer.totalSteps,
      latest: Object.fromEntries(trainer.latest),
      book: trainer.books.fit.state(),
      ...(trainer.scaler && { scaler: { ...trainer.scaler.stateDict() } }),
    },
    random: { ...defaultGenerator.getState() },
    gradients,
    optimizers: Object.fromEntries(
      trainer.optimizers.map(({ name, optimizer }) => [name, optimizer.stateDict() as never]),
    ),
    schedulers: Object.fromEntries(
      trainer.optimizers.flatMap(({ name, scheduler }) => (scheduler ? [[name, scheduler.state() as never]] : [])),
    ),
    queues: Object.fromEntries([...trainer.queues].map(([key, queue]) => [key, queue.state()])),
    callbacks: await statesOf(trainer.callbacks.map((callback) => [callback.name, callback])),
    loggers: await statesOf(trainer.loggers.map((logger, i) => [String(i), logger])),
  }
}

async function put(trainer: Trainer, { weights, state }: Checkpoint): Promise<void> {
  const {
    trainer: at,
    random,
    gradients,
    optimizers,
    schedulers,
    queues,
    callbacks,
    loggers,
  } = state as unknown as Gathered
  if (at.trainBatches !== trainer.trainBatches && at.batch > 0) {
    throw new SptError(
      'ERR_CHECKPOINT',
      `it stopped at batch ${at.batch} of ${at.trainBatches}, but an epoch has ${trainer.trainBatches} batches here`,
    )
  }
  trainer.module.loadStateDict(new Map(weights))
  for (const [name, param] of trainer.module.namedParameters()) {
    const gradient = gradients[name]
    if (gradient)
      param.setGrad(
        gradient
          .to(param.device as DeviceName)
          .clone()
          .keep(),
      )
  }
  for (const { name, optimizer, scheduler } of trainer.optimizers) {
    await optimizer.loadStateDict(known(optimizers, name, 'optimizer') as never)
    scheduler?.loadState(known(schedulers, name, 'scheduler') as never)
    if (at.totalSteps !== trainer.totalSteps) scheduler?.realign?.()
  }
  for (const [key, queue] of trainer.queues) if (queues[key]) queue.loadState(queues[key])
  for (const callback of trainer.callbacks) {
    const kept = callbacks[callback.name]
    if (kept) await callback.loadState?.(kept as never)
  }
  for (const [i, logger] of trainer.loggers.entries()) {
    const kept = loggers[String(i)]
    if (kept) await logger.loadState?.(kept as never)
  }
  trainer.currentEpoch = at.epoch
  trainer.batchIdx = at.batch
  trainer.globalStep = at.step
  trainer.shouldStop = at.shouldStop
  for (const [name, value] of Object.entries(at.latest)) trainer.latest.set(name, value)
  trainer.books.fit.loadState(at.book)
  if (at.scaler) trainer.scaler?.loadStateDict(at.scaler)
  await callHook(trainer.callbacks, 'onLoadCheckpoint', trainer, state as never)
  defaultGenerator.setState(random) // last: nothing above may draw afterwards
}

interface Gathered {
  trainer: {
    epoch: number
    batch: number
    step: number
    shouldStop: boolean
    trainBatches: number
    totalSteps: number
    latest: Record<string, number>
    scaler?: GradScalerState
    book: { sums: Record<string, { total: number; weight: number; alone: boolean }>; row: Record<string, number> }
  }
  random: ReturnType<typeof defaultGenerator.getState>
  gradients: Record<string, Tensor>
  optimizers: Record<string, unknown>
  schedulers: Record<string, unknown>
  queues: Record<string, StateObject>
  callbacks: Record<string, StateObject>
  loggers: Record<string, StateObject>
}

interface Stateful {
  state?(): unknown
}

async function statesOf(owners: ReadonlyArray<readonly [string, Stateful]>): Promise<StateObject> {
  const states: Record<string, StateObject> = {}
  for (const [name, owner] of owners) if (owner.state) states[name] = (await owner.state()) as StateObject
  return states
}

function known(saved: Record<string, unknown>, name: string, what: string): unknown {
  if (saved[name] === undefined) {
    throw new SptError(
      'ERR_CHECKPOINT',
      `it holds no state of ${what} "${name}", only of: ${Object.keys(saved).join(', ') || 'none'}`,
    )
  }
  return saved[name]
}
