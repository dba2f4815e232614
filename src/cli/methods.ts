/** `spt methods`: the methods that a configuration may name, by family, with their papers and what they need. */
import { methodFamilies, type MethodNeeds } from '../plugin/contracts.js'
import type { Definition } from '../plugin/define.js'
import { loadRegistry } from '../plugin/registry.js'

/** A definition as it may come: one in JavaScript may have left out what it is to say of itself. */
interface Found extends Omit<Definition<'method'>, 'family' | 'needs'> {
  readonly family: string
  readonly needs?: MethodNeeds
  readonly origin: string
}

export async function methods(packages: readonly string[], { json = false }: { json?: boolean }): Promise<number> {
  const { entries } = await loadRegistry(packages)
  const found = entries
    .filter(({ definition }) => definition.kind === 'method')
    .map(({ definition, origin }) => ({ ...({ family: 'other', ...definition } as unknown as Found), origin }))
    .toSorted((a, b) => a.name.localeCompare(b.name))
  console.log(json ? asJson(found) : asTable(found))
  return 0
}

function asTable(found: readonly Found[]): string {
  const width = Math.max(...found.map(({ name }) => name.length))
  const families = [...new Set<string>([...methodFamilies, ...found.map(({ family }) => family)])]
  return families
    .map((family) => ({ family, own: found.filter((one) => one.family === family) }))
    .filter(({ own }) => own.length > 0)
    .map(({ family, own }) => [family, ...own.flatMap((method) => rowsOf(method, width))].join('\n'))
    .join('\n\n')
}

/** What it is; below, where it comes from and what it needs. */
function rowsOf({ name, description, paper, needs, recipe, origin }: Found, width: number): string[] {
  const from = origin === 'built-in' ? '' : ` [${origin}]`
  const facts = [paper, needs && `needs ${needed(needs)}`, recipe && `transform: ${recipe}`].filter(Boolean)
  const first = `  ${name.padEnd(width)}  ${description}${from}`
  return facts.length === 0 ? [first] : [first, `  ${''.padEnd(width)}  ${facts.join('; ')}`]
}

function needed({ views, backbone, labels = false }: MethodNeeds): string {
  const backbones = {
    any: 'any backbone',
    patches: 'a backbone with patches or a feature map',
    'vision transformer': 'a vision transformer',
  }
  const seen = views === 'multi-crop' ? 'crops of several sizes' : `${views} view${views === 1 ? '' : 's'}`
  return [seen, ...(labels ? ['labels'] : []), backbones[backbone]].join(', ')
}

function asJson(found: readonly Found[]): string {
  const rows = found.map(({ name, aliases = [], family, needs, recipe, paper, description, origin }) => ({
    name,
    aliases,
    family,
    needs,
    recipe,
    paper,
    description,
    origin,
  }))
  return JSON.stringify(rows, null, 2)
}
