/** Taking parameters out of training, and back, by name. */
import { SptError } from '../errors.js'
import { suggest } from '../config/suggest.js'
import type { Tensor } from '../tensor/index.js'
import type { Module } from './module.js'

/**
 * Freezes the parameters that a pattern matches, all of them without one: they get no gradient, and optimizers leave them
 * alone. A string is the name of a layer or a parameter (`layer1` means all below it), a regular expression is looked for in
 * the parameter's qualified name. Running statistics go on in training; `layer.eval()` stops them.
 *
 * @returns the names of the parameters.
 * @throws ERR_ARGUMENT for a pattern that matches nothing. Nothing is changed then.
 */
export function freeze(module: Module<unknown>, ...patterns: ReadonlyArray<string | RegExp>): string[] {
  return setTrainable('freeze', module, patterns, false)
}

/** The reverse of `freeze`, with the same patterns. */
export function unfreeze(module: Module<unknown>, ...patterns: ReadonlyArray<string | RegExp>): string[] {
  return setTrainable('unfreeze', module, patterns, true)
}

/** Whether a pattern, as `freeze` takes it, means the parameter of that name. */
export function matchesParameter(name: string, pattern: string | RegExp): boolean {
  if (typeof pattern === 'string') return pattern === '' || name === pattern || name.startsWith(`${pattern}.`)
  // A global expression would remember where it stopped.
  return name.search(pattern) >= 0
}

/** What to say of a pattern that matches no parameter of `module`. */
export function unmatchedPattern(where: string, pattern: string | RegExp, module: Module<unknown>): SptError {
  const known = [...module.namedModules(), ...module.namedParameters()].map(([name]) => name)
  const near = typeof pattern === 'string' ? suggest(pattern, known) : undefined
  return new SptError(
    'ERR_ARGUMENT',
    `${where}: no parameter of ${module.constructor.name} matches ${typeof pattern === 'string' ? `"${pattern}"` : pattern}` +
      (near === undefined ? '' : `; did you mean "${near}"?`),
    { hint: `Its parts: ${[...module.namedChildren()].map(([name]) => name).join(', ')}.` },
  )
}

function setTrainable(
  where: string,
  module: Module<unknown>,
  patterns: ReadonlyArray<string | RegExp>,
  trainable: boolean,
): string[] {
  const named = [...module.namedParameters()]
  for (const pattern of patterns) {
    if (!named.some(([name]) => matchesParameter(name, pattern))) throw unmatchedPattern(where, pattern, module)
  }
  const meant = ([name]: [string, Tensor]) =>
    patterns.length === 0 || patterns.some((pattern) => matchesParameter(name, pattern))
  return named.filter(meant).map(([name, parameter]) => {
    parameter.requiresGrad = trainable
    return name
  })
}
