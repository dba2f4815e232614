/** Optimizers by name, with stable-pretraining's defaults. Classes are in their own files, schedulers in theirs. */
import { suggest } from '../config/suggest.js'
import { argumentInvalid, SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { Adadelta, Adagrad, ASGD, RMSprop, Rprop } from './adagrad.js'
import { Adam, Adamax, AdamW, Lion, NAdam, RAdam } from './adam.js'
import { Optimizer, type ParamGroupInput } from './optimizer.js'
import { LARS, SGD } from './sgd.js'
import { splitByWeightDecay, type WeightDecayRules } from './weight-decay.js'

export type OptimizerClass = new (params: ParamGroupInput[], options: never) => Optimizer

/** All optimizers by PyTorch's names. */
export const optimizerClasses: Record<string, OptimizerClass> = {
  Adadelta,
  Adagrad,
  Adam,
  AdamW,
  Adamax,
  ASGD,
  LARS,
  Lion,
  NAdam,
  RAdam,
  RMSprop,
  Rprop,
  SGD,
}

/** A name, a class, options with a `type` of either kind, or a function that is called with the parameter groups. */
export type OptimizerConfig =
  | string
  | OptimizerClass
  | ({ type?: string | OptimizerClass } & WeightDecayRules & Record<string, unknown>)
  | ((groups: ParamGroupInput[]) => Optimizer)

/**
 * Builds an optimizer over named parameters. The default type is AdamW; `excludeBiasNorm` makes two groups, the second
 * (biases, norms, tensors of one axis) without weight decay; see {@link WeightDecayRules} for the other rules.
 *
 * @throws ERR_ARGUMENT for an unknown name, listing the known ones, for an option that is unknown or out of range.
 */
export function createOptimizer(named: Iterable<[string, Tensor]>, config: OptimizerConfig = 'AdamW'): Optimizer {
  const all = [...named]
  const groups = [{ params: all.map(([, param]) => param), names: all.map(([name]) => name) }]
  if (typeof config === 'function' && !isClass(config)) return config(groups)
  const { type = 'AdamW', ...rest } = typeof config === 'string' || isClass(config) ? { type: config } : config
  const { excludeBiasNorm, noWeightDecayNdim, noWeightDecay, ...options } = rest as WeightDecayRules
  const chosen = typeof type === 'string' ? byName(optimizerClasses, type, 'optimizer') : type
  if (!isClass(chosen)) throw argumentInvalid('createOptimizer: type', 'the name or the class of an optimizer', type)
  const split = splitByWeightDecay(groups, { excludeBiasNorm, noWeightDecayNdim, noWeightDecay })
  return new chosen(split, options as never)
}

/** The entry of that name, in any case. @throws ERR_ARGUMENT with the nearest name and the list of all. */
export function byName<T>(entries: Record<string, T>, name: string, kind: string): T {
  const known = Object.keys(entries)
  const found = known.find((own) => own.toLowerCase() === name.toLowerCase())
  if (found !== undefined) return entries[found] as T
  const near = suggest(name, known)
  throw new SptError(
    'ERR_ARGUMENT',
    `unknown ${kind} "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}`,
    {
      hint: `Known: ${known.join(', ')}.`,
    },
  )
}

function isClass(value: unknown): value is OptimizerClass {
  return typeof value === 'function' && value.prototype instanceof Optimizer
}
