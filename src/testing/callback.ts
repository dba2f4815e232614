/** What callbacks and loggers have to keep: they live through a run, and come back from a checkpoint as they were. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Callback, Logger, Services } from '../plugin/contracts.js'
import type { Builder, ConformanceOptions } from './index.js'
import { require, rule, type Rule } from './rule.js'
import { smallBackbone, smallTransformer } from './synthetic.js'
import { trainBriefly } from './training.js'

const hooks = [
  'setup',
  'onFitStart',
  'onTrainEpochStart',
  'onTrainBatchStart',
  'onTrainBatchEnd',
  'onTrainEpochEnd',
  'onValidationStart',
  'onValidationBatchEnd',
  'onValidationEnd',
  'onSaveCheckpoint',
  'onLoadCheckpoint',
  'onException',
  'onFitEnd',
]

export function callbackRules(build: Builder, { classes = 4, transformer }: ConformanceOptions): Rule[] {
  const use = (check: (make: () => Promise<Callback>, runDirectory: string) => Promise<void>) => () =>
    inFolder(async (services) =>
      check(
        async () =>
          (await build({
            services,
            backbone: transformer ? smallTransformer() : smallBackbone(),
            numClasses: classes,
          })) as Callback,
        services.runDirectory,
      ),
    )
  return [
    rule(
      'it has a name, and only hooks that there are',
      use(async (make) => {
        const callback = await make()
        require(callback.name !== '', () => 'its name is empty')
        const prototype = Object.getOwnPropertyNames(Object.getPrototypeOf(callback) as object)
        const unknown = [...Object.keys(callback), ...prototype].filter(
          (key) => /^on[A-Z]/.test(key) && !hooks.includes(key),
        )
        require(unknown.length === 0, () => `no hook is called ${unknown.join(', ')}; there are ${hooks.join(', ')}`)
      }),
    ),
    rule(
      'it lives through a run of two epochs',
      use(async (make, runDirectory) => {
        await trainBriefly({ callbacks: [await make()], classes, runDirectory, transformer })
      }),
    ),
    rule(
      'later epochs keep no more than earlier ones',
      use(async (make, runDirectory) => {
        const alive = await trainBriefly({ callbacks: [await make()], classes, runDirectory, transformer, epochs: 6 })
        require(alive[5]! <= alive[2]!, () => `${alive[2]} live buffers after 3 epochs, ${alive[5]} after 6`)
      }),
    ),
    rule(
      'its state is saved and loaded again',
      use(async (make, runDirectory) => {
        const callback = await make()
        if (callback.state === undefined) return
        await trainBriefly({ callbacks: [callback], classes, runDirectory, transformer })
        require(callback.loadState !== undefined, () => 'it has state() and no loadState()')
        const state = await callback.state()
        await callback.loadState!(state)
        const again = await callback.state()
        require(text(again) === text(state), () => `state() gave ${text(again)} after loading ${text(state)}`)
      }),
    ),
  ]
}

export function loggerRules(build: Builder): Rule[] {
  const use = (check: (logger: Logger) => Promise<void>) => () =>
    inFolder(async (services) => check((await build({ services, runDirectory: services.runDirectory })) as Logger))
  return [
    rule(
      'it takes metrics of changing names',
      use(async (logger) => {
        await logger.logHyperparameters?.({ 'optimizer.lr': 0.1, method: 'any' })
        await logger.logMetrics({ loss: 1 }, { step: 1, epoch: 0 })
        await logger.logMetrics({ loss: 0.5, accuracy: 0.2 }, { step: 2, epoch: 0 })
        await logger.logMetrics({}, { step: 3, epoch: 1 })
        await logger.finalize?.('success')
      }),
    ),
    rule(
      'its state is saved and loaded again',
      use(async (logger) => {
        await logger.logMetrics({ loss: 1 }, { step: 1, epoch: 0 })
        if (logger.state === undefined) return
        const state = await logger.state()
        await logger.loadState?.(state)
        require(text(await logger.state()) === text(state), () => `state() changed by loading ${text(state)}`)
        await logger.finalize?.('interrupted')
      }),
    ),
  ]
}

async function inFolder(check: (services: Services) => Promise<void>): Promise<void> {
  const runDirectory = await mkdtemp(join(tmpdir(), 'spt-conformance-'))
  const shared = new Map<string, unknown>()
  const services: Services = {
    runDirectory,
    seed: 0,
    log: () => undefined,
    shared<T>(key: string, make: () => T): T {
      if (!shared.has(key)) shared.set(key, make())
      return shared.get(key) as T
    },
  }
  try {
    await check(services)
  } finally {
    await rm(runDirectory, { recursive: true, force: true })
  }
}

function text(state: unknown): string {
  return JSON.stringify(state, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
}
