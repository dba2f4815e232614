/** Which parameters decay: the usual split that leaves biases and norms alone. No schedule; see schedules of values. */
import { SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import type { ParamGroupInput } from './optimizer.js'

/** Whether weight decay should leave this parameter alone: a bias, anything named norm, or a tensor of at most one axis. */
export function isBiasOrNorm(name: string, param: { ndim: number }): boolean {
  return name === 'bias' || name.endsWith('.bias') || name.toLowerCase().includes('norm') || param.ndim <= 1
}

/**
 * Splits parameters into a group that decays and a group with weight decay 0. Frozen parameters are left out, as are
 * empty groups.
 *
 * @throws ERR_ARGUMENT when no parameter is trainable.
 */
export function excludeBiasAndNorm(named: Iterable<[string, Tensor]>): ParamGroupInput[] {
  const decay: Array<[string, Tensor]> = []
  const rest: Array<[string, Tensor]> = []
  for (const [name, param] of named) {
    if (!param.requiresGrad) continue
    if (isBiasOrNorm(name, param)) rest.push([name, param])
    else decay.push([name, param])
  }
  if (decay.length + rest.length === 0) {
    throw new SptError('ERR_ARGUMENT', 'excludeBiasNorm: there is no trainable parameter')
  }
  const group = (members: Array<[string, Tensor]>) => ({
    params: members.map(([, param]) => param),
    names: members.map(([name]) => name),
  })
  const groups: ParamGroupInput[] = []
  if (decay.length > 0) groups.push(group(decay))
  if (rest.length > 0) groups.push({ ...group(rest), weightDecay: 0 })
  return groups
}
