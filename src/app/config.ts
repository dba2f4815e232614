/**
 * What a configuration file may say: the schema of its sections and the way from a file to a parsed `RunConfig`.
 * What each plugin's options are is said by the plugin; how a run is made of it, in `run.ts`.
 */
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { choice } from '../config/choice.js'
import { readConfig, type ConfigDocument } from '../config/document.js'
import { documentJsonSchema } from '../config/json-schema.js'
import { reference, references, type PluginUse } from '../config/reference.js'
import { validate } from '../config/validate.js'
import { configInvalid } from '../errors.js'
import type { Definition, Kind } from '../plugin/define.js'
import { isPath } from '../plugin/load.js'
import { loadRegistry, type Registry } from '../plugin/registry.js'

/** What `device` and SPT_DEVICE may be. */
export const deviceName = /^(auto|cpu|gpu(:.+)?)$/

const loader = z.object({
  dataset: reference('dataset').optional().describe('images to read; default: data.dataset'),
  transform: references('transform').optional().describe('what is done to each image; default: data.transform'),
  batchTransform: references('transform')
    .optional()
    .describe(
      'what is done to each batch where it is used: mixing, or transforms on its tensors; default: data.batch_transform',
    ),
  sampler: reference('sampler').optional().describe('order of the samples, instead of shuffle'),
  batchSampler: reference('sampler')
    .optional()
    .describe('whole batches of places, instead of batch_size, shuffle, sampler and drop_last'),
  collate: reference('collator').optional().describe('changes each batch before it is handed out'),
  batchSize: z.int().min(1).optional().describe('images a batch; default: data.batch_size, else 1'),
  shuffle: z.boolean().optional().describe('a new random order each epoch; default: true for train'),
  dropLast: z.boolean().optional().describe('leave out a last, smaller batch; default: true for train'),
  numWorkers: z.int().min(0).optional().describe('batches in the making at once; changes the speed and nothing else'),
  prefetch: z.int().min(0).optional().describe('batches ready ahead of the one in use'),
  prefetchBytes: z.int().min(0).optional().describe('memory that batches ahead may take; default 1 GiB'),
  onError: z
    .enum(['raise', 'skip'])
    .optional()
    .describe('a sample that cannot be read: raise ends the run, skip takes another and lists it in the run directory'),
  maxErrors: z.int().min(0).optional().describe('with skip: different samples that may fail; default 100'),
  seed: z.int().min(0).optional().describe('of order and augmentation; default: the seed of the run'),
})

const trainer = z.object({
  maxEpochs: z.int().min(-1).optional().describe('passes over the training data; -1: no limit; default 1'),
  maxSteps: z.int().min(-1).optional().describe('optimizer steps; -1: no limit'),
  precision: z
    .enum(['32-true', 'bf16-mixed', '16-mixed'])
    .default('32-true')
    .describe('number format: float32, or float32 weights with products in bfloat16 (CPUs) or float16 (GPUs)'),
  checkValEveryNEpoch: z.int().min(1).default(1).describe('epochs between two validations'),
  limitTrainBatches: z.number().min(0).optional().describe('batches of an epoch, or below 1 a share of them'),
  limitValBatches: z
    .number()
    .min(0)
    .optional()
    .describe('batches of a validation, or below 1 a share of them; 0: none'),
  numSanityValSteps: z.int().min(0).default(2).describe('validation batches tried before training'),
  logEveryNSteps: z.int().min(1).default(10).describe('steps between two rows of step values'),
  accumulateGradBatches: z.int().min(1).default(1).describe('batches whose gradients are averaged into one step'),
  gradientClipVal: z.number().gt(0).optional().describe('largest norm (or value) of the gradient'),
  gradientClipAlgorithm: z.enum(['norm', 'value']).default('norm').describe('what gradient_clip_val bounds'),
  detectAnomaly: z.boolean().default(false).describe('ends the run at a gradient that is not finite, with its name'),
  logGradNorm: z.boolean().default(false).describe('logs the norm of the gradient of each optimizer'),
  checkpointEveryNSteps: z
    .int()
    .min(0)
    .default(0)
    .describe('steps between two checkpoints besides those of each epoch; 0: none'),
})

const singleOptim = z.strictObject({
  optimizer: reference('optimizer').optional().describe('default: AdamW'),
  scheduler: reference('scheduler')
    .nullable()
    .optional()
    .describe('default: CosineAnnealingLR over the run; null: none'),
  interval: z.enum(['step', 'epoch']).optional().describe('accepted: a schedule moves with each step of its optimizer'),
  frequency: z.int().min(1).optional().describe('batches a step; default: trainer.accumulate_grad_batches'),
  schedulerFrequency: z.int().min(1).optional().describe('accepted, without effect'),
  monitor: z.string().optional().describe('the metric that ReduceLROnPlateau watches; default: val_loss'),
  gradientClipVal: z.number().gt(0).nullable().optional().describe('default: the trainer’s; null: none'),
  gradientClipAlgorithm: z.enum(['norm', 'value']).optional().describe('default: the trainer’s'),
})

const assignedOptim = singleOptim.extend({
  modules: z.string().describe('regular expression that the names of its modules begin with'),
})

export type SingleOptim = z.output<typeof singleOptim>
export type AssignedOptims = Record<string, z.output<typeof assignedOptim>>

const optim = choice<SingleOptim | AssignedOptims>(
  { one: singleOptim, several: z.record(z.string(), assignedOptim) },
  (value) => (hasModules(value) ? 'several' : 'one'),
)

/** Whether some value of a mapping says which modules it is for: the form with several optimizers. */
export function hasModules(value: unknown): value is AssignedOptims {
  const isMapping = (item: unknown) => typeof item === 'object' && item !== null
  return isMapping(value) && Object.values(value as object).some((item) => isMapping(item) && 'modules' in item)
}

export const schema = z.object({
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0)
    .describe('of weights, data order, augmentation'),
  plugins: z.array(z.string()).default([]).describe("third parties' plugins: npm packages, or paths from this file"),
  data: loader
    .extend({
      train: loader.optional().describe('what is learnt from'),
      val: loader.optional().describe('what is validated on'),
      test: loader.optional().describe('what is tested on'),
      predict: loader.optional().describe('what is predicted'),
    })
    .describe('images and how they become batches; train, val … inherit what stands beside them'),
  backbone: reference('backbone').describe('the network that is pretrained'),
  method: reference('method').describe('how it is pretrained'),
  optimizer: reference('optimizer').optional().describe('default: AdamW'),
  scheduler: reference('scheduler')
    .nullable()
    .optional()
    .describe('of the learning rate; default: CosineAnnealingLR over the run; null: none'),
  monitor: z.string().optional().describe('the metric that a scheduler such as ReduceLROnPlateau watches'),
  optim: optim.optional().describe('instead of optimizer and scheduler: with more options, or several by module'),
  callbacks: references('callback').prefault([]).describe('what watches and probes while it trains'),
  logger: references('logger').optional().describe('where metrics go; default: those that say they are'),
  trainer: trainer.prefault({}).describe('how long and how'),
  numClasses: z.int().min(1).optional().describe('default: the number of classes the training data names'),
  ckptPath: z.string().optional().describe('a checkpoint whose weights and state this run starts from'),
  device: z
    .string()
    .regex(deviceName, 'is auto, cpu, gpu, gpu:1 (a number) or gpu:name')
    .default('auto')
    .describe(
      'what computes: cpu, gpu, gpu:1 or gpu:<part of a name>; auto: the environment variable SPT_DEVICE, else cpu',
    ),
  threads: z.int().min(1).optional().describe('threads of the native core; default: one a core'),
  cacheDir: z.string().optional().describe('runs are written to its folder `runs`; default: ./runs'),
})

export type RunConfig = Omit<z.output<typeof schema>, 'logger'> & { logger: PluginUse<'logger'>[] }

export interface LoadedConfig {
  readonly config: RunConfig
  readonly registry: Registry
  /** Where relative paths start: the configuration file's folder. */
  readonly folder: string
  readonly document: ConfigDocument
}

/** Reads, completes and checks a configuration. Raises ERR_CONFIG with every problem and its place, ERR_PLUGIN. */
export async function loadConfig(
  file: string,
  overrides: readonly string[] = [],
  folder = dirname(resolve(file)),
): Promise<LoadedConfig> {
  const document = await readConfig(file, overrides)
  const registry = await loadRegistry(thirdParty(document.values), [folder, process.cwd()])
  const { logger = defaultLoggers(registry), ...config } = validate(document, schema, (kind, name) =>
    registry.find(kind as Kind, name),
  )
  refuseBesideOptim(document, config)
  return { config: { ...config, logger }, registry, folder, document }
}

export function configJsonSchema(registry: Registry): Record<string, unknown> {
  return documentJsonSchema(
    schema,
    registry.entries.map(({ definition }) => definition),
  )
}

function refuseBesideOptim(document: ConfigDocument, config: Record<string, unknown>): void {
  const beside = ['optimizer', 'scheduler', 'monitor'].find((key) => config[key] !== undefined)
  if (config['optim'] === undefined || beside === undefined) return
  throw configInvalid([
    { where: document.where([beside]), message: '"optim" says the same already', hint: `Write ${beside} under optim.` },
  ])
}

function defaultLoggers(registry: Registry): PluginUse<'logger'>[] {
  return registry.entries
    .map(({ definition }) => definition)
    .filter(
      (definition): definition is Definition<'logger'> =>
        definition.kind === 'logger' && definition.usedByDefault === true,
    )
    .map((definition) => ({ kind: 'logger', name: definition.name, definition, config: definition.config.parse({}) }))
}

/** What `plugins:` lists, and every plugin that is named by a path where it is used. */
function thirdParty(values: Record<string, unknown>): string[] {
  const listed = Array.isArray(values['plugins']) ? values['plugins'].filter((name) => typeof name === 'string') : []
  return [...listed, ...pathsIn(values)]
}

function pathsIn(value: unknown): string[] {
  if (typeof value === 'string') return isPath(value) && /\.[cm]?[jt]s$/.test(value) ? [value] : []
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(pathsIn) : []
}
