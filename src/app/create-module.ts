/** A method as a module for people who write a program: what a configuration's `method` becomes, from TypeScript. */
import { check } from '../config/check.js'
import { reference, withLookup, type PluginUse } from '../config/reference.js'
import { argumentInvalid } from '../errors.js'
import type { Module as Network } from '../nn/index.js'
import type { Kind } from '../plugin/define.js'
import { loadRegistry } from '../plugin/registry.js'
import type { Optim, TrainingModule } from '../train/index.js'
import { methodModule } from './method-module.js'
import { build } from './run.js'

export interface CreateModuleOptions {
  /** Images to embeddings [batch, dim]. */
  readonly backbone: Network
  /** Width of the embedding; by default the backbone's own `dim`. */
  readonly dim?: number
  /** For methods that learn from labels. */
  readonly numClasses?: number
  /** Of masks and other random numbers of the method; the weights follow `manualSeed`. Default 0. */
  readonly seed?: number
  /** Optimizer steps of the whole run, for methods of others that ask for it when they are built. Default 0. */
  readonly totalSteps?: number
  readonly optim?: Optim
  /** Packages or paths whose plugins `method` may name. */
  readonly plugins?: readonly string[]
}

/**
 * The module of a method: `await createModule({ type: 'byol', projectorDims: [512, 128] }, { backbone: nn.resnet18() })`.
 * It holds the method's networks under their names, teachers and queues included, and moves them after each step.
 *
 * @throws ERR_PLUGIN for a method that is not known, ERR_ARGUMENT for an option that is unknown or out of range.
 */
export async function createModule(
  method: string | ({ readonly type: string } & Record<string, unknown>),
  { backbone, numClasses, seed = 0, totalSteps = 0, optim, plugins = [], ...given }: CreateModuleOptions,
): Promise<TrainingModule> {
  const dim = given.dim ?? (backbone as { dim?: unknown }).dim
  if (typeof dim !== 'number') throw argumentInvalid('createModule: dim', 'the width of the embedding', dim)
  const registry = await loadRegistry(plugins)
  const { output, problems } = withLookup(
    (kind, name) => registry.find(kind as Kind, name),
    () => check(reference('method'), method),
  )
  const [problem] = problems
  if (problem)
    throw argumentInvalid(['createModule: method', ...problem.path].join('.'), problem.message, method, problem.hint)
  const use = output as PluginUse<'method'>
  const built = await build(use, {
    backbone: { module: backbone, dim, name: backbone.constructor.name },
    ...(numClasses !== undefined && { numClasses }),
    totalSteps,
    seed,
  })
  const hparams = { method: use.name, ...use.config }
  return methodModule(built, optim === undefined ? { hparams } : { hparams, optim })
}
