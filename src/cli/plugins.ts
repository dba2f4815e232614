/** `spt plugins`: what a configuration may name, by kind. */
import { SptError } from '../errors.js'
import { suggest } from '../config/suggest.js'
import { pluginJsonSchema } from '../config/json-schema.js'
import { kinds, type Kind } from '../plugin/define.js'
import { loadRegistry, type Entry } from '../plugin/registry.js'

export async function plugins(
  packages: readonly string[],
  options: { kind?: string; json?: boolean },
): Promise<number> {
  const shown = options.kind === undefined ? (Object.keys(kinds) as Kind[]) : [kindNamed(options.kind)]
  const { entries } = await loadRegistry(packages)
  const chosen = shown.map((kind) => ({
    kind,
    entries: entries
      .filter(({ definition }) => definition.kind === kind)
      .toSorted((a, b) => a.definition.name.localeCompare(b.definition.name)),
  }))
  console.log(options.json === true ? asJson(chosen.flatMap((group) => group.entries)) : asTable(chosen))
  return 0
}

function kindNamed(name: string): Kind {
  const kind = (Object.keys(kinds) as Kind[]).find((known) => known === name || kinds[known] === name)
  if (kind !== undefined) return kind
  const near = suggest(name, Object.keys(kinds))
  throw new SptError(
    'ERR_PLUGIN',
    `unknown kind of plugin "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}`,
    {
      hint: `Known: ${Object.keys(kinds).join(', ')}.`,
    },
  )
}

function asTable(groups: readonly { kind: Kind; entries: readonly Entry[] }[]): string {
  const width = Math.max(0, ...groups.flatMap(({ entries }) => entries.map(({ definition }) => definition.name.length)))
  return groups
    .filter(({ entries }) => entries.length > 0)
    .map(({ kind, entries }) => {
      const rows = entries.map(({ definition, origin }) => {
        const from = origin === 'built-in' ? '' : ` [${origin}]`
        const paper = definition.paper === undefined ? '' : ` (${definition.paper})`
        return `  ${definition.name.padEnd(width)}  ${definition.description}${paper}${from}`
      })
      return [kinds[kind], ...rows].join('\n')
    })
    .join('\n\n')
}

function asJson(entries: readonly Entry[]): string {
  const rows = entries.map(
    ({ definition: { kind, name, aliases = [], targets = [], description, paper, config }, origin }) => ({
      kind,
      name,
      aliases,
      targets,
      description,
      paper,
      origin,
      config: pluginJsonSchema(config),
    }),
  )
  return JSON.stringify(rows, null, 2)
}
