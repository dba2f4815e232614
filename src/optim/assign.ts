/** Which optimizer trains which parameter: regular expressions over module names, as stable-pretraining has them. */
import { SptError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'

/** The part of a module tree that the assignment looks at. */
export interface ParameterTree {
  /** All modules with their qualified names in registration order; the root's name is empty. */
  namedModules(): Iterable<[string, { ownParameters(): Iterable<[string, Tensor]> }]>
}

export interface Assignment {
  modules: string[]
  parameters: Array<[string, Tensor]>
}

/**
 * Gives each module's own parameters to one optimizer. A module starts with the optimizer of its parent (the name up to
 * the last dot; top-level modules start with none); then the first rule whose expression matches at the start of its
 * name takes it. Modules without an optimizer stay out of all of them, as do those of callbacks.
 *
 * @returns one assignment a rule, in the rules' order; one without parameters is in the result, for the caller to warn of.
 * @throws ERR_ARGUMENT when an expression is not valid.
 */
export function assignParameters(root: ParameterTree, rules: Record<string, string | RegExp>): Map<string, Assignment> {
  const patterns = Object.entries(rules).map(([name, rule]) => [name, anchored(name, rule)] as const)
  const result = new Map<string, Assignment>(patterns.map(([name]) => [name, { modules: [], parameters: [] }]))
  const owners = new Map<string, string | undefined>()
  for (const [moduleName, module] of root.namedModules()) {
    if (moduleName.includes('callbacks_modules') || moduleName.includes('callbacks_metrics')) continue
    const parentEnd = moduleName.lastIndexOf('.')
    const inherited = parentEnd < 0 ? undefined : owners.get(moduleName.slice(0, parentEnd))
    const owner = patterns.find(([, pattern]) => pattern.test(moduleName))?.[0] ?? inherited
    owners.set(moduleName, owner)
    const assignment = owner === undefined ? undefined : result.get(owner)
    if (!assignment) continue
    assignment.modules.push(moduleName)
    for (const [name, parameter] of module.ownParameters()) {
      assignment.parameters.push([moduleName === '' ? name : `${moduleName}.${name}`, parameter])
    }
  }
  return result
}

/** The expression, tied to the start of the name as Python's `re.match` does. */
function anchored(name: string, rule: string | RegExp): RegExp {
  const source = typeof rule === 'string' ? rule : rule.source
  const flags = typeof rule === 'string' ? '' : rule.flags.replace(/[gy]/g, '')
  try {
    return new RegExp(`^(?:${source})`, flags)
  } catch (cause) {
    throw new SptError('ERR_ARGUMENT', `optimizer "${name}": "${source}" is not a regular expression`, { cause })
  }
}
