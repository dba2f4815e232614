/** Parameter groups by name: rules that give some layers another rate or decay within one optimizer. */
import { SptError } from '../errors.js'
import { matchesParameter, type Module, unmatchedPattern } from '../nn/index.js'
import type { ParamGroupInput } from './optimizer.js'

/** Options of a group, and whose they are: the name of a layer, or an expression looked for in a parameter's name. */
export interface GroupRule extends Omit<ParamGroupInput, 'params' | 'names'> {
  match: string | RegExp
}

/**
 * Sorts the trainable parameters of `module` into groups: each goes to the first rule that matches its qualified name, what
 * none matches is the first group, without options of its own. Empty groups are left out.
 *
 *     new AdamW(parameterGroups(backbone, [{ match: /bias|norm/, weightDecay: 0 }, { match: 'layer4', lr: 1e-4 }]))
 *
 * @throws ERR_ARGUMENT for a rule that matches nothing, and where nothing is trainable.
 */
export function parameterGroups(module: Module<unknown>, rules: readonly GroupRule[]): ParamGroupInput[] {
  const named = [...module.namedParameters()]
  for (const { match } of rules) {
    if (!named.some(([name]) => matchesParameter(name, match))) throw unmatchedPattern('parameterGroups', match, module)
  }
  const trainable = named.filter(([, parameter]) => parameter.requiresGrad)
  if (trainable.length === 0) {
    throw new SptError('ERR_ARGUMENT', `parameterGroups: no parameter of ${module.constructor.name} is trainable`)
  }
  const ruleOf = ([name]: [string, unknown]) => rules.findIndex(({ match }) => matchesParameter(name, match))
  return [-1, ...rules.keys()].flatMap((index) => {
    const members = trainable.filter((pair) => ruleOf(pair) === index)
    if (members.length === 0) return []
    const { match: _, ...options } = rules[index] ?? { match: '' }
    return [{ ...options, params: members.map(([, parameter]) => parameter), names: members.map(([name]) => name) }]
  })
}
