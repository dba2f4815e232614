/** Which parameters decay: the usual split that leaves biases and norms alone. No schedule; see schedules of values. */
import { argumentInvalid, SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import type { ParamGroupInput } from './optimizer.js'

/** What weight decay leaves alone; a parameter that one of the rules names goes to a group with weight decay 0. */
export interface WeightDecayRules {
  /** Biases, whatever has "norm" in its name, and tensors of at most one axis; see {@link isBiasOrNorm}. */
  excludeBiasNorm?: boolean | undefined
  /** Tensors of at most so many axes. */
  noWeightDecayNdim?: number | undefined
  /** Regular expressions looked for anywhere in a parameter's name, such as `pos_embed|cls_token`. */
  noWeightDecay?: string | RegExp | ReadonlyArray<string | RegExp> | undefined
}

/** Whether weight decay should leave this parameter alone: a bias, anything named norm, or a tensor of at most one axis. */
export function isBiasOrNorm(name: string, param: { ndim: number }): boolean {
  return name === 'bias' || name.endsWith('.bias') || name.toLowerCase().includes('norm') || param.ndim <= 1
}

/**
 * Splits every group in two by the rules: what decays with the group's or the optimizer's weight decay, and what does
 * not decay. Frozen parameters are left out, as are empty groups. Without a rule the groups stay as they are.
 *
 * @throws ERR_ARGUMENT when a group has no names to go by, no parameter is trainable, or a rule is malformed.
 */
export function splitByWeightDecay(groups: readonly ParamGroupInput[], rules: WeightDecayRules): ParamGroupInput[] {
  const { excludeBiasNorm = false, noWeightDecayNdim = -1, noWeightDecay = [] } = rules
  if (!Number.isInteger(noWeightDecayNdim)) {
    throw argumentInvalid('noWeightDecayNdim', 'a number of axes', noWeightDecayNdim)
  }
  const patterns = [noWeightDecay].flat().map(patternOf)
  if (!excludeBiasNorm && noWeightDecayNdim < 0 && patterns.length === 0) return [...groups]
  const excluded = (name: string, param: Tensor) =>
    (excludeBiasNorm && isBiasOrNorm(name, param)) ||
    param.ndim <= noWeightDecayNdim ||
    patterns.some((pattern) => pattern.test(name))
  const split = groups.flatMap(({ params, names, ...options }) => {
    const all = [...params]
    if (names?.length !== all.length) {
      throw new SptError('ERR_ARGUMENT', 'weight decay by rules needs the names of the parameters, got none', {
        hint: 'Give groups `names` beside `params`.',
      })
    }
    const named = all.map((param, index) => [names[index] ?? '', param] as const)
    const trainable = named.filter(([, param]) => param.requiresGrad)
    const group = (members: typeof named): ParamGroupInput[] =>
      members.length === 0
        ? []
        : [{ ...options, params: members.map(([, param]) => param), names: members.map(([name]) => name) }]
    return [
      ...group(trainable.filter(([name, param]) => !excluded(name, param))),
      ...group(trainable.filter(([name, param]) => excluded(name, param))).map((rest) => ({ ...rest, weightDecay: 0 })),
    ]
  })
  if (split.length === 0) {
    throw new SptError('ERR_ARGUMENT', 'excludeBiasNorm: there is no trainable parameter')
  }
  return split
}

function patternOf(pattern: string | RegExp): RegExp {
  try {
    return typeof pattern === 'string'
      ? new RegExp(pattern)
      : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''))
  } catch (cause) {
    throw new SptError('ERR_ARGUMENT', `noWeightDecay: "${String(pattern)}" is not a regular expression`, { cause })
  }
}
