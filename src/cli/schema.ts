/** `spt schema`: the JSON Schema of configuration files, for editors that complete and check YAML. */
import { configJsonSchema } from '../app/config.js'
import { loadRegistry } from '../plugin/registry.js'
import { writeFileAtomically } from '../runs/atomic-file.js'

export async function schema(packages: readonly string[], { out }: { out?: string }): Promise<number> {
  const text = `${JSON.stringify(configJsonSchema(await loadRegistry(packages)), null, 2)}\n`
  if (out === undefined) {
    process.stdout.write(text)
  } else {
    await writeFileAtomically(out, text)
    console.log(`written to ${out}; the first line of a configuration then is: # yaml-language-server: $schema=${out}`)
  }
  return 0
}
