/** `spt methods`: the methods that a configuration may name, by family, with their papers and what they need. */
import { methodFamilies, type MethodNeeds } from '../plugin/contracts.js'
import type { Definition } from '../plugin/define.js'
import { loadRegistry } from '../plugin/registry.js'

export async function methods(packages: readonly string[], { json = false }: { json?: boolean }): Promise<number> {
  const { entries } = await loadRegistry(packages)
  const found = entries
    .flatMap(({ definition, origin }) =>
      definition.kind === 'method' ? [{ ...(definition as Definition<'method'>), origin }] : [],
    )
    .toSorted((a, b) => a.name.localeCompare(b.name))
  console.log(json ? asJson(found) : asTable(found))
  return 0
}

type Found = Definition<'method'> & { readonly origin: string }

function asTable(found: readonly Found[]): string {
  const width = Math.max(...found.map(({ name }) => name.length))
  const named = new Set<string>(methodFamilies)
  const families = [...methodFamilies, ...new Set(found.map(({ family }) => family).filter((one) => !named.has(one)))]
  return families
    .map((family) => ({ family, own: found.filter((one) => one.family === family) }))
    .filter(({ own }) => own.length > 0)
    .map(({ family, own }) => {
      const rows = own.flatMap(({ name, description, paper, needs, recipe, origin }) => {
        const from = origin === 'built-in' ? '' : ` [${origin}]`
        const views = recipe === undefined ? '' : `; transform: ${recipe}`
        return [
          `  ${name.padEnd(width)}  ${description}${from}`,
          `  ${''.padEnd(width)}  ${[...(paper === undefined ? [] : [paper]), `needs ${needed(needs)}`].join('; ')}${views}`,
        ]
      })
      return [family, ...rows].join('\n')
    })
    .join('\n\n')
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
