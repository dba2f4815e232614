/**
 * A run from its configuration: plugins built in the order they need each other, then handed to a Manager.
 * It trains nothing itself; each part is a registration that another program or a test may replace.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { plain } from '../config/plain.js'
import type { PluginUse } from '../config/reference.js'
import {
  batchTransform,
  compose,
  DataLoader,
  DataModule,
  isBatchSampler,
  type DataLoaderOptions,
  type Dataset,
} from '../data/index.js'
import { argumentInvalid, SptError, dataMoved, errorCode, pluginBuildFailed, unsupported } from '../errors.js'
import { type DeviceName, setNumThreads, manualSeed } from '../tensor/index.js'
import type { Callback, Logger, Services } from '../plugin/contracts.js'
import type { BuildContexts, Built, Definition, Kind } from '../plugin/define.js'
import { writeFileAtomically } from '../runs/atomic-file.js'
import {
  createRunDirectory,
  openRunDirectory,
  removeRunDirectory,
  runsRoot,
  type RunDirectory,
} from '../runs/run-directory.js'
import { Manager, StepProfile, Trainer } from '../train/index.js'
import type { Optim, OptimConfig, RunResult, TrainerOptions, TrainingModule } from '../train/index.js'
import { stepsOfRun } from '../train/optimization.js'
import { limitBatches, resolveOptions } from '../train/trainer-options.js'
import { Container, token } from './container.js'
import { methodModule } from './method-module.js'
import { checkViews } from './views.js'
import {
  deviceName,
  hasModules,
  loadConfig,
  schema,
  type LoadedConfig,
  type RunConfig,
  type SingleOptim,
} from './config.js'

export interface RunOptions {
  /** Prints where the time of training steps goes, by operation, and writes it to the run's profile.json. */
  profile?: boolean
}

/** Starts a new run. `overrides`: `a.b=c`, as on the command line. */
export async function startRun(
  file: string,
  overrides: readonly string[] = [],
  options: RunOptions = {},
): Promise<RunResult> {
  const loaded = await loadConfig(file, overrides)
  const { cacheDir } = loaded.config
  const directory = await createRunDirectory({
    root: runsRoot(cacheDir === undefined ? undefined : join(cacheDir, 'runs')),
    configFile: file,
    folder: loaded.folder,
  })
  const run = runContainer(loaded, directory)
  try {
    await writeConfig(loaded, directory)
    const manager = await prepare(run, loaded.config.ckptPath && resolve(loaded.folder, loaded.config.ckptPath))
    return await train(manager, directory, options)
  } catch (error) {
    // Nothing was trained: a misspelt path must not fill the disk with empty folders.
    if (!existsSync(join(directory.path, 'environment.json'))) await removeRunDirectory(directory)
    throw error
  } finally {
    await run.dispose()
  }
}

/**
 * Goes on with the run in a folder, from its last checkpoint, by its own config.yaml. Overrides that the checkpoint can be
 * gone on with are written to that file, so that they hold when it is resumed again.
 */
export async function resumeRun(
  folder: string,
  overrides: readonly string[] = [],
  options: RunOptions = {},
): Promise<RunResult> {
  const { directory, record } = await openRunDirectory(folder)
  const loaded = await loadConfig(join(directory.path, 'config.yaml'), overrides, record.folder)
  const run = runContainer(loaded, directory)
  try {
    const manager = await prepare(run, directory.lastCheckpoint).catch((cause: unknown) => {
      throw errorCode(cause) === 'ERR_DATA' ? dataMoved(cause, folder) : cause
    })
    const keep = { name: 'config', onFitStart: () => writeConfig(loaded, directory) }
    if (overrides.length > 0) manager.trainer.callbacks.push(keep)
    return await train(manager, directory, options)
  } finally {
    await run.dispose()
  }
}

async function train(manager: Manager, { path }: RunDirectory, { profile = false }: RunOptions): Promise<RunResult> {
  if (!profile) return manager.run()
  const { trainer } = manager
  const counts = new StepProfile()
  trainer.callbacks.push(counts)
  try {
    return await manager.run()
  } finally {
    const table = await counts.write(path)
    if (table !== undefined) trainer.print(`${table}\nprofile: ${join(path, 'profile.json')}`)
  }
}

const writeConfig = ({ config }: LoadedConfig, { path }: RunDirectory): Promise<void> =>
  writeFileAtomically(join(path, 'config.yaml'), stringify(plain(config, schema)))

/** The services of one run. */
export const services = {
  config: token<RunConfig>('config'),
  directory: token<RunDirectory>('run directory'),
  data: token<Promise<DataModule>>('data'),
  backbone: token<Promise<BuildContexts['callback']['backbone']>>('backbone'),
  module: token<Promise<TrainingModule>>('module'),
  callbacks: token<Promise<Callback[]>>('callbacks'),
  loggers: token<Promise<Logger[]>>('loggers'),
  trainer: token<Promise<Trainer>>('trainer'),
}

export function runContainer({ config, folder }: LoadedConfig, directory: RunDirectory): Container {
  const shared = new Map<string, unknown>()
  let print = (line: string) => console.error(line)
  const offered: Services = {
    runDirectory: directory.path,
    seed: config.seed,
    log: (line) => print(line),
    shared<T>(key: string, make: () => T): T {
      if (!shared.has(key)) shared.set(key, make())
      return shared.get(key) as T
    },
  }
  return new Container()
    .register(services.config, () => config)
    .register(services.directory, () => directory)
    .register(
      services.data,
      () => buildData(config, folder, (line) => print(line)),
      // A data set that could not be built has told so already.
      (data) => data.then((built) => built.dispose()).catch(() => undefined),
    )
    .register(services.backbone, async () => {
      const { module, dim } = await build(config.backbone, { seed: config.seed, root: folder, log: offered.log })
      return { module, dim, name: config.backbone.definition.name }
    })
    .register(services.loggers, () =>
      Promise.all(config.logger.map((use) => build(use, { services: offered, runDirectory: directory.path }))),
    )
    .register(services.callbacks, async (run) => {
      const [backbone, data] = await Promise.all([run.get(services.backbone), run.get(services.data)])
      const context = { services: offered, backbone, ...classesOf(config, data) }
      const built: Callback[] = []
      for (const use of config.callbacks) built.push(await build(use, context))
      return built
    })
    .register(services.module, (run) => buildModule(run))
    .register(services.trainer, async (run) => {
      // Weights are drawn in this order, so that a seed means the same weights whatever callbacks are added.
      await run.get(services.module)
      const trainer = new Trainer({
        ...(config.trainer as TrainerOptions),
        device: deviceOf(config),
        callbacks: (await run.get(services.callbacks)) as never,
        logger: (await run.get(services.loggers)) as never,
      })
      print = (line) => trainer.print(line)
      return trainer
    })
}

/** What the configuration says; where it leaves that open, SPT_DEVICE. @throws ERR_ARGUMENT when that is no device. */
function deviceOf({ device }: RunConfig): DeviceName | 'auto' {
  const wanted = device === 'auto' ? process.env['SPT_DEVICE'] || 'auto' : device
  if (!deviceName.test(wanted))
    throw argumentInvalid('SPT_DEVICE', 'auto, cpu, gpu, gpu:1 (a number) or gpu:name', wanted)
  return wanted as DeviceName | 'auto'
}

async function prepare(run: Container, ckptPath: string | undefined): Promise<Manager> {
  const config = run.get(services.config)
  if (config.threads !== undefined) setNumThreads(config.threads)
  manualSeed(config.seed)
  return new Manager({
    data: await run.get(services.data),
    module: await run.get(services.module),
    trainer: await run.get(services.trainer),
    seed: config.seed,
    runDirectory: run.get(services.directory),
    ...(ckptPath !== undefined && { ckptPath }),
  })
}

async function buildData(
  { data, ...config }: RunConfig,
  folder: string,
  log: (line: string) => void,
): Promise<DataModule> {
  const { train, val, test, predict, ...common } = data
  const part = async (
    options: typeof common | undefined,
    training: boolean,
  ): Promise<DataLoaderOptions | undefined> => {
    if (options === undefined) return undefined
    const { dataset: named, transform, batchTransform: onBatch, ...given } = { ...common, ...options }
    if (named === undefined) throw unsupported('data', 'a part names no dataset', 'Write dataset: beside it or in it.')
    const dataset = (await build(named, { root: folder, log })) as Dataset
    return {
      ...(await orderOf(given, options, training, { dataset, seed: given.seed ?? config.seed })),
      dataset,
      ...(given.collate !== undefined && { collate: await build(given.collate, {}) }),
      ...(transform !== undefined && {
        transform: compose(await Promise.all(transform.map((use) => build(use, {})))),
      }),
      ...(onBatch !== undefined && {
        batchTransform: (await Promise.all(onBatch.map((use) => build(use, {})))).map(batchTransform),
      }),
    } as DataLoaderOptions
  }
  const alone = train === undefined && val === undefined && test === undefined && predict === undefined
  const parts = {
    train: await part(alone ? common : train, true),
    val: await part(val, false),
    test: await part(test, false),
    predict: await part(predict, false),
  }
  const module = new DataModule(
    Object.fromEntries(Object.entries(parts).filter(([, options]) => options !== undefined)),
  )
  module.setSeed(config.seed)
  return module
}

type LoaderConfig = Omit<RunConfig['data'], 'train' | 'val' | 'test' | 'predict'>

/** How a part is ordered and batched: by a sampler where it names one, else at random for training. */
async function orderOf(
  { sampler, batchSampler, collate: _, ...given }: Omit<LoaderConfig, 'dataset' | 'transform' | 'batchTransform'>,
  own: LoaderConfig,
  training: boolean,
  context: BuildContexts['sampler'],
): Promise<Omit<DataLoaderOptions, 'dataset'>> {
  if (batchSampler !== undefined) {
    const built = await build(batchSampler, context)
    if (!isBatchSampler(built)) throw wrongSampler(batchSampler.name, 'single samples', 'sampler')
    // What it takes the place of counts as said only where this part says it.
    const { batchSize, shuffle, dropLast } = own
    const { batchSize: _, shuffle: __, dropLast: ___, ...rest } = given
    return { ...rest, ...defined({ batchSize, shuffle, dropLast, sampler: own.sampler }), batchSampler: built } as never
  }
  if (sampler === undefined)
    return { shuffle: training, dropLast: training, ...given } as Omit<DataLoaderOptions, 'dataset'>
  const built = await build(sampler, context)
  if (isBatchSampler(built)) throw wrongSampler(sampler.name, 'whole batches', 'batch_sampler')
  return { dropLast: training, ...given, sampler: built } as Omit<DataLoaderOptions, 'dataset'>
}

const defined = (values: object) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))

const wrongSampler = (name: string, gives: string, key: string): SptError =>
  new SptError('ERR_CONFIG', `data: the sampler ${name} gives ${gives}`, { hint: `Write it under ${key}.` })

async function buildModule(run: Container): Promise<TrainingModule> {
  const config = run.get(services.config)
  const [backbone, data] = [await run.get(services.backbone), await run.get(services.data)]
  if (data.train instanceof DataLoader) checkViews(config.method.definition, data.train)
  const method = await build(config.method, {
    backbone,
    ...classesOf(config, data),
    totalSteps: totalSteps(config, data),
    seed: config.seed,
  })
  return methodModule(method, { hparams: flat(plain(config, schema)), optim: optimOf(config) })
}

function optimOf({ optim, optimizer, scheduler, monitor }: RunConfig): Optim {
  if (!hasModules(optim)) return oneOptim(optim ?? { optimizer, scheduler, monitor })
  return Object.fromEntries(
    Object.entries(optim).map(([name, { modules, ...options }]) => [name, { modules, ...oneOptim(options) }]),
  )
}

function oneOptim({ optimizer, scheduler, ...options }: SingleOptim): OptimConfig {
  const watched = scheduler?.config['monitor']
  return {
    ...options,
    ...(typeof watched === 'string' && { monitor: watched }),
    optimizer: optimizer && ((params) => build(optimizer, { params })),
    scheduler: scheduler && ((of, length) => build(scheduler, { optimizer: of, ...length })),
  }
}

/** Builds what a reference names; an error says which plugin it was. */
export async function build<K extends Kind>(use: PluginUse<K>, context: BuildContexts[K]): Promise<Built[K]> {
  try {
    return await begin(use, context)
  } catch (cause) {
    throw pluginBuildFailed(use.kind, use.name, cause)
  }
}

function begin<K extends Kind>(use: PluginUse<K>, context: BuildContexts[K]): Built[K] | Promise<Built[K]> {
  // The config was parsed by this definition's own schema.
  return (use.definition as Definition<K>).build({ ...context, build, config: use.config } as never)
}

/** Optimizer steps of the whole run, as the trainer will count them. */
function totalSteps(config: RunConfig, data: DataModule): number {
  const options = resolveOptions(config.trainer as TrainerOptions)
  const trainBatches = limitBatches(data.train?.length ?? 0, options.limitTrainBatches)
  return stepsOfRun(optimOf(config), { ...options, trainBatches }, options.accumulateGradBatches)
}

function classesOf(config: RunConfig, data: DataModule): { numClasses?: number } {
  const numClasses = config.numClasses ?? data.classes?.length
  return numClasses === undefined ? {} : { numClasses }
}

/** `{trainer: {max_epochs: 3}}` to `{'trainer.max_epochs': 3}`, as loggers show hyperparameters. */
function flat(value: unknown, path = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return { [path]: value }
  const entries = Object.entries(value).map(([key, item]) => flat(item, path === '' ? key : `${path}.${key}`))
  return Object.assign({}, ...entries) as Record<string, unknown>
}
