/** What callbacks and loggers are, bound to this trainer's types; the interfaces themselves live in `plugin/contracts`. */
import type { Batch } from '../data/index.js'
import type { Module as Network } from '../nn/index.js'
import type * as contracts from '../plugin/contracts.js'
import type { OptimizerEntry } from './optimization.js'
import type { Trainer } from './trainer.js'

export type Callback = contracts.Callback<Trainer, Network<unknown>, OptimizerEntry>

/** What hooks of a batch are told. */
export interface BatchEvent extends contracts.BatchEvent<Trainer> {
  readonly batch: Batch
}

export type { BatchProgress, Logger, Outputs, Progress, Stage, StepProgress } from '../plugin/contracts.js'

type Hook = Exclude<
  { [K in keyof Callback]-?: K extends `on${string}` | 'setup' ? K : never }[keyof Callback],
  undefined
>

/** Calls one hook of every callback, each awaited before the next, in the order they were given. */
export async function callHook<H extends Hook>(
  callbacks: readonly Callback[],
  hook: H,
  ...input: Parameters<NonNullable<Callback[H]>>
): Promise<void> {
  for (const callback of callbacks) {
    await (callback[hook] as ((...given: unknown[]) => unknown) | undefined)?.apply(callback, input)
  }
}
