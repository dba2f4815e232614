/** A Python with other people's readers and writers of our files, for tests that are skipped where there is none. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const installed = fileURLToPath(
  new URL(
    process.platform === 'win32' ? '../../target/peers/Scripts/python.exe' : '../../target/peers/bin/python',
    import.meta.url,
  ),
)
const python = process.env['SPT_PEER_PYTHON'] ?? installed

/** Whether Python lacks one of these packages, and a note for the title of tests that are skipped for it. */
export function pythonWith(...packages: string[]): { absent: boolean; note: string } {
  const missing = missingOf(packages)
  return { absent: missing !== undefined, note: missing === undefined ? '' : ` (skipped: ${missing})` }
}

/** Runs a program that reads `argument` as JSON from its standard input, and returns the JSON it prints last. */
export function runPython(program: string, argument: unknown): unknown {
  const { status, stdout, stderr, error } = spawnSync(
    python,
    ['-c', `import json, sys\nargument = json.load(sys.stdin)\n${program}`],
    {
      input: JSON.stringify(argument),
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    },
  )
  if (status !== 0) throw new Error(`python: ${error?.message ?? stderr.slice(-4000)}`)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? 'null')
}

function missingOf(packages: readonly string[]): string | undefined {
  if (process.env['SPT_PEER_PYTHON'] === undefined && !existsSync(python))
    return 'there is no Python environment (npx tsx scripts/python-peers.ts makes it)'
  const program =
    'import importlib.util, sys; print([name for name in sys.argv[1:] if not importlib.util.find_spec(name)])'
  const { status, stdout } = spawnSync(python, ['-c', program, ...packages], { encoding: 'utf8' })
  if (status !== 0) return `${python} does not run`
  const names = [...stdout.matchAll(/'(\w+)'/g)].map(([, name]) => name)
  return names.length === 0 ? undefined : `Python has no ${names.join(', ')}`
}
