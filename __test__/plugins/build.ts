/** Builds a built-in plugin as a configuration names it, for the tests of single plugins. */
import { check } from '../../src/config/check.js'
import { type PluginUse, reference, withLookup } from '../../src/config/reference.js'
import type { BuildContexts, Built, Definition, Kind, Nested } from '../../src/plugin/define.js'
import { loadRegistry } from '../../src/plugin/registry.js'

const registry = await loadRegistry()

/** What is wrong with a configuration of a plugin, a line a problem. */
export function problemsOf(kind: Kind, value: unknown): string[] {
  return parse(kind, value).problems.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

/** The plugin that `value` names, such as `{type: resize, size: 32}`, keys in snake_case as in YAML. */
export async function build<K extends Kind>(kind: K, value: unknown, context: BuildContexts[K]): Promise<Built[K]> {
  const { output, problems } = parse(kind, value)
  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  return buildUse(output as PluginUse<K>, context)
}

async function buildUse<K extends Kind>(use: PluginUse<K>, context: BuildContexts[K]): Promise<Built[K]> {
  const definition = use.definition as Definition<K>
  const received = { ...context, config: use.config, build: buildUse } as BuildContexts[K] & Nested & { config: never }
  return definition.build(received)
}

const parse = (kind: Kind, value: unknown) =>
  withLookup(
    (wanted, name) => registry.find(wanted as Kind, name),
    () => check(reference(kind), value),
  )
