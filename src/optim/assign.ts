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
 * name takes it. Modules without an optimizer stay out of all of them, as do those of callbacks. A parameter that
 * several modules share goes with the first of them.
 *
 * @returns one assignment a rule, in the rules' order; one without parameters is in the result, for the caller to warn of.
 * @throws ERR_ARGUMENT when an expression is not valid.
 */
export function assignParameters(root: ParameterTree, rules: Record<string, string | RegExp>): Map<string, Assignment> {
  const patterns = Object.entries(rules).map(([name, rule]) => [name, anchored(name, rule)] as const)
  const result = new Map<string, Assignment>(patterns.map(([name]) => [name, { modules: [], parameters: [] }]))
  const seen = new Set<Tensor>()
  for (const [moduleName, module] of root.namedModules()) {
    if (moduleName.includes('callbacks_modules') || moduleName.includes('callbacks_metrics')) continue
    const owner = ownerOf(moduleName, patterns)
    const assignment = owner === undefined ? undefined : result.get(owner)
    if (!assignment) continue
    assignment.modules.push(moduleName)
    for (const [name, parameter] of module.ownParameters()) {
      if (seen.has(parameter)) continue
      seen.add(parameter)
      assignment.parameters.push([moduleName === '' ? name : `${moduleName}.${name}`, parameter])
    }
  }
  return result
}

/** By name alone: an array of modules is no module here but has a name (PyTorch's ModuleList), and may be what matches. */
function ownerOf(moduleName: string, patterns: ReadonlyArray<readonly [string, RegExp]>): string | undefined {
  const match = patterns.find(([, pattern]) => pattern.test(moduleName))
  if (match) return match[0]
  const parentEnd = moduleName.lastIndexOf('.')
  return parentEnd < 0 ? undefined : ownerOf(moduleName.slice(0, parentEnd), patterns)
}

/** The expression, tied to the start of the name as Python's `re.match` does; a leading `(?i)` is Python's flag. */
function anchored(name: string, rule: string | RegExp): RegExp {
  const given = typeof rule === 'string' ? rule : rule.source
  const ignoreCase = typeof rule === 'string' && given.startsWith('(?i)')
  const source = ignoreCase ? given.slice('(?i)'.length) : given
  const flags = typeof rule === 'string' ? (ignoreCase ? 'i' : '') : rule.flags.replace(/[gy]/g, '')
  try {
    return new RegExp(`^(?:${source})`, flags)
  } catch (cause) {
    throw new SptError('ERR_ARGUMENT', `optimizer "${name}": "${given}" is not a regular expression`, { cause })
  }
}
